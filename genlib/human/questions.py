"""What people are asked, form by form: which pictures they see, and which answer would be right.

Each form mixes in a few trials whose answer is plain to see, so that those who do not look are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.human.answers import CATCH
from genlib.human.raters import pair_name, picture_name

CATCHES = 12  # of how many trials one is plain to see


@dataclass(frozen=True)
class Trial:
    """One question: its name, which begins with the mark of the weights and ends with what is in the pictures; the
    right answer, or "" where nobody knows it; and one picture or two, uint8 [C, H, W]."""

    name: str
    truth: str
    pictures: tuple[Tensor, ...]


def one(real: Tensor, fake: Tensor, seed: int, mark: str) -> list[Trial]:
    """Real and generated images uint8 [n, C, H, W], one at a time; plainly not real is noise."""
    parts = {"real": ("real", real), "fake": ("fake", fake), CATCH: ("fake", _noise(real, 2 * len(real), seed))}
    return [
        Trial(f"{mark}-{name}-{index}-{picture_name(pixels)}", truth, (pixels,))
        for name, (truth, images) in parts.items()
        for index, pixels in enumerate(images)
    ]


def timed(real: Tensor, fake: Tensor, seed: int, mark: str) -> list[Trial]:
    """The same, each seen for a moment only."""
    return one(real, fake, seed, f"{mark}-timed")


def two(real: Tensor, fake: Tensor, seed: int, mark: str) -> list[Trial]:
    """Each real image beside a generated one, uint8 [n, C, H, W], in half of the trials on the left; plainly not real
    is noise."""
    noise = _noise(real, len(real), seed)
    asked = [*(f"two-{i}" for i in range(len(real))), *(f"two-{CATCH}-{i}" for i in range(len(noise)))]
    real, other = torch.cat([real, real[: len(noise)]]), torch.cat([fake, noise])
    names = [f"{mark}-{name}-{pair_name(x, y)}" for name, x, y in zip(asked, real, other, strict=True)]
    left = torch.randperm(len(names), generator=seeded(seed, "side")) % 2 == 0
    return [
        Trial(name, "left", (x, y)) if first else Trial(name, "right", (y, x))
        for name, x, y, first in zip(names, real, other, left, strict=True)
    ]


def pair(pairs: Mapping[str, tuple[Tensor, Tensor]], seed: int, mark: str) -> list[Trial]:
    """Pictures that may be the same one, by their names; plainly the same is a picture beside itself, and plainly
    different one beside noise."""
    asked = [Trial(f"{mark}-pair-{name}", "", pictures) for name, pictures in pairs.items()]
    some = torch.stack([first for first, _ in pairs.values()])
    noise = _noise(some, len(some), seed)
    itself = [Trial(f"{mark}-pair-{CATCH}-same-{i}", "same", (x, x)) for i, x in enumerate(some[: len(noise)])]
    other = [Trial(f"{mark}-pair-{CATCH}-{i}", "different", (some[i], x)) for i, x in enumerate(noise)]
    return asked + itself + other


def _noise(like: Tensor, trials: int, seed: int) -> Tensor:
    """One image of noise for every CATCHES trials."""
    shape = (max(1, trials // CATCHES), *like.shape[1:])
    return torch.randint(256, shape, generator=seeded(seed, "catch")).to(torch.uint8)
