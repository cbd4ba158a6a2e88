"""Cross-entropy with the labels; without labels, with the number of quarter turns by which each image was rotated
(Gidaris, Singh and Komodakis 2018, "Unsupervised representation learning by predicting image rotations")."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.batches import Batch
from genlib.objectives.common.phases import Objective, StepLosses
from genlib.validation import require_at_least, require_in_range


def rotate_quarters(x: Tensor, quarters: Tensor) -> Tensor:
    """Each square image rotated counter-clockwise by `quarters` [n] times 90 degrees."""
    rotations = torch.stack([torch.rot90(x, k, (2, 3)) for k in range(4)])
    return rotations[quarters, torch.arange(len(x), device=x.device)]


def shift_images(x: Tensor, offsets: Tensor, max_shift: int) -> Tensor:
    """Each image moved by offsets [n, 2] - max_shift rows and columns, offsets in 0 .. 2 max_shift; borders repeat."""
    height, width = x.shape[2:]
    padded = F.pad(x, [max_shift] * 4, mode="replicate")
    rows = offsets[:, :1] + torch.arange(height, device=x.device)
    columns = offsets[:, 1:] + torch.arange(width, device=x.device)
    image = torch.arange(len(x), device=x.device)[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirror_images(x: Tensor, mirrored: Tensor) -> Tensor:
    """x [n, C, H, W] with left and right exchanged in the images where `mirrored` [n] is true."""
    return torch.where(mirrored[:, None, None, None], x.flip(3), x)


@dataclass(kw_only=True, eq=False)
class Classification(Objective):
    """`shift`: training images move at random by up to that many pixels each way. `flip`: each is mirrored left to
    right with probability 1/2, as suits photographs; a mirrored digit or letter is none."""

    label_smoothing: float = 0.0
    shift: int = 0
    flip: bool = False
    domains = "union"

    def __post_init__(self) -> None:
        require_in_range(0, 1, label_smoothing=self.label_smoothing)
        require_at_least(0, shift=self.shift)

    def step_losses(self, model: Callable[[Tensor], Tensor], batch: Batch) -> StepLosses:
        x, y = batch.x, batch.labels
        if self.shift:
            x = shift_images(x, (batch.rand("shift", 2) * (2 * self.shift + 1)).long(), self.shift)
        if self.flip:
            x = mirror_images(x, batch.rand("flip") < 0.5)
        if y is None:
            y = (4 * batch.rand("rotation")).long()
            x = rotate_quarters(x, y)
        logits = model(x).float()
        loss = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.label_smoothing)
        return StepLosses(loss, {"loss": loss, "accuracy": (logits.argmax(1) == y).float()})


Build = Classification
