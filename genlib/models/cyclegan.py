"""CycleGAN: two translators between two domains and a discriminator in each (Zhu, Park, Isola and Efros 2017)."""

from typing import Literal

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_float
from genlib.models.layers.blocks import Shape, conv_encoder
from genlib.models.layers.cyclegan import ImagePool, Translator, default_num_blocks, patch_discriminator
from genlib.models.layers.sampling import map_in_chunks
from genlib.validation import require_at_least, require_in_range

NUM_SAMPLE_SOURCES = 64


class CycleGAN(nn.Module):
    """`g`: the translators a -> b ("ab") and b -> a ("ba"); `d`: the discriminators of both domains ("a", "b").
    `blocks`: residual blocks of a translator; null: by the size of the images. `judge`: a classifier of both domains,
    trained with the translators, for the semantic term of the objective."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        width: int = 16,
        blocks: int | None = None,
        width_d: int = 16,
        judge: bool = False,
    ) -> None:
        require_at_least(1, width=width, width_d=width_d)
        num_blocks = default_num_blocks(shape) if blocks is None else blocks
        require_in_range(0, 101, blocks=num_blocks)
        if judge and not classes:
            raise ValueError("judge needs labels, and the data have none")
        super().__init__()
        self.g = nn.ModuleDict({direction: Translator(shape, width, num_blocks) for direction in ("ab", "ba")})
        self.d = nn.ModuleDict({domain: patch_discriminator(shape, width_d) for domain in ("a", "b")})
        self.judge = conv_encoder(shape, width_d, classes) if judge else None
        self.pool = nn.ModuleDict({domain: ImagePool(shape) for domain in ("a", "b")})
        self.shown = nn.Buffer(torch.zeros(NUM_SAMPLE_SOURCES, *shape, dtype=torch.uint8))  # sources of `sample`

    def on_fit_start(self, train: Images, valid: Images) -> None:
        """Keep the first 64 validation images of domain a for `sample`, repeated where there are fewer."""
        self.shown.copy_(valid.pixels[torch.arange(NUM_SAMPLE_SOURCES) % len(valid)])

    def translate(self, x: Tensor, to: Literal["a", "b"]) -> Tensor:
        """Images [n, C, H, W] of the domain `to`, from images of the other."""
        return map_in_chunks(self.g["ab" if to == "b" else "ba"], x).float()

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Translations to b of the stored images, cyclically in their order, whatever the seed."""
        return self.translate(to_float(self.shown[torch.arange(n) % NUM_SAMPLE_SOURCES]), "b")


Build = CycleGAN
