"""DCGAN as published (Radford, Metz and Chintala 2015): batch normalisation in both networks, no biases. At 32 pixels
with a width of 32 these are the networks of Ray's tuning example, pbt_dcgan_mnist. `gan` trains better."""

from torch import Tensor, nn

from genlib.models.layers.batch_norm import BatchNorm2d
from genlib.models.layers.blocks import Crop, Shape, channel_schedule, check_shape
from genlib.models.layers.cpu.matmul_conv import GrayConv2d, GrayConvTranspose2d, VectorConvTranspose2d
from genlib.models.layers.gan import GANBase
from genlib.models.layers.sampling import eval_mode
from genlib.validation import require_at_least


class DCGAN(GANBase):
    """`width`, `width_d`: channels of G's finest and of D's first level; the others have twice, four and at most
    `max_channel_mult` times as many."""

    separate_passes = True  # since D normalises over the batch

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        latent: int = 100,
        width: int = 32,
        width_d: int = 32,
        max_channel_mult: int = 8,
    ) -> None:
        require_at_least(1, latent=latent, width=width, width_d=width_d, max_channel_mult=max_channel_mult)
        check_shape(shape)
        super().__init__()
        self.latent = latent
        self.generator = nn.Sequential(*generator_layers(shape, latent, width, max_channel_mult), nn.Tanh())
        self.discriminator = nn.Sequential(*discriminator_layers(shape, width_d, max_channel_mult), nn.Flatten())
        self.apply(init_weights)

    def sample(self, n: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """With the running statistics, so that no image depends on the others."""
        with eval_mode(self):
            return super().sample(n, seed=seed)


def num_upsamples(shape: Shape) -> int:
    """How often a side of 4 has to double to reach the shorter side: 1 for 8, 2 for 16, 3 for 28 and 32."""
    return (-(-min(shape[1:]) // 4) - 1).bit_length()


def generator_layers(shape: Shape, latent: int, width: int, max_mult: int) -> list[nn.Module]:
    """Vector [n, latent] -> [n, C, H, W] by transposed convolutions, cropped to the shape."""
    levels = num_upsamples(shape)
    height, breadth = (-(-side // 2**levels) for side in shape[1:])
    channels = [*reversed(channel_schedule(width, levels, max_mult))]
    first = VectorConvTranspose2d(latent, channels[0], (height, breadth), bias=False)
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), first]
    for level, (wide, narrow) in enumerate(zip(channels, [*channels[1:], shape[0]], strict=True), 1):
        double = nn.ConvTranspose2d if level < levels else GrayConvTranspose2d
        layers += [BatchNorm2d(wide), nn.ReLU(), double(wide, narrow, 4, 2, 1, bias=False)]
    return [*layers, Crop(*shape[1:])]


def discriminator_layers(shape: Shape, width: int, max_mult: int) -> list[nn.Module]:
    """Image -> logit [n, 1, 1, 1]; the first level is not normalised."""
    levels = num_upsamples(shape)
    channels = [shape[0], *channel_schedule(width, levels, max_mult)]
    layers: list[nn.Module] = []
    for level in range(levels):
        norm = [BatchNorm2d(channels[level + 1])] if level else []
        halve = nn.Conv2d if level else GrayConv2d
        layers += [halve(channels[level], channels[level + 1], 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2)]
    height, breadth = (side >> levels for side in shape[1:])
    return [*layers, nn.Conv2d(channels[-1], 1, (height, breadth), bias=False)]


def init_weights(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), scales from N(1, 0.02)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0, 0.02)


Build = DCGAN
