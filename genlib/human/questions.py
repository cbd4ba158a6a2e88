"""What people are asked, form by form: which pictures they see, and which answer would be right.

Each form mixes in a few trials whose answer is plain to see, so that those who do not look are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.human.answers import CATCH_TAG
from genlib.human.raters import image_id, pair_id

ITEMS_PER_CATCH = 12  # of how many trials one is plain to see


@dataclass(frozen=True)
class RatingItem:
    """One question: its name, which begins with the mark of the weights and ends with what is in the pictures; the
    right answer, or "" where nobody knows it; and one picture or two, uint8 [C, H, W]."""

    name: str
    truth: str
    images: tuple[Tensor, ...]


def single_image(real: Tensor, fake: Tensor, seed: int, weights_id: str) -> list[RatingItem]:
    """Real and generated images uint8 [n, C, H, W], one at a time; plainly not real is noise."""
    parts = {
        "real": ("real", real),
        "fake": ("fake", fake),
        CATCH_TAG: ("fake", _noise_images(real, 2 * len(real), seed)),
    }
    return [
        RatingItem(f"{weights_id}-{name}-{index}-{image_id(pixels)}", truth, (pixels,))
        for name, (truth, images) in parts.items()
        for index, pixels in enumerate(images)
    ]


def timed_image(real: Tensor, fake: Tensor, seed: int, weights_id: str) -> list[RatingItem]:
    """The same, each seen for a moment only."""
    return single_image(real, fake, seed, f"{weights_id}-timed")


def forced_choice(real: Tensor, fake: Tensor, seed: int, weights_id: str) -> list[RatingItem]:
    """Each real image beside a generated one, uint8 [n, C, H, W], in half of the trials on the left; plainly not real
    is noise."""
    noise = _noise_images(real, len(real), seed)
    asked = [*(f"two-{i}" for i in range(len(real))), *(f"two-{CATCH_TAG}-{i}" for i in range(len(noise)))]
    real, other = torch.cat([real, real[: len(noise)]]), torch.cat([fake, noise])
    names = [f"{weights_id}-{name}-{pair_id(x, y)}" for name, x, y in zip(asked, real, other, strict=True)]
    left = torch.randperm(len(names), generator=seeded_generator(seed, "side")) % 2 == 0
    return [
        RatingItem(name, "left", (x, y)) if first else RatingItem(name, "right", (y, x))
        for name, x, y, first in zip(names, real, other, left, strict=True)
    ]


def same_different(pairs: Mapping[str, tuple[Tensor, Tensor]], seed: int, weights_id: str) -> list[RatingItem]:
    """Pictures that may be the same one, by their names; plainly the same is a picture beside itself, and plainly
    different one beside noise."""
    asked = [RatingItem(f"{weights_id}-pair-{name}", "", pictures) for name, pictures in pairs.items()]
    some = torch.stack([first for first, _ in pairs.values()])
    noise = _noise_images(some, len(some), seed)
    itself = [
        RatingItem(f"{weights_id}-pair-{CATCH_TAG}-same-{i}", "same", (x, x)) for i, x in enumerate(some[: len(noise)])
    ]
    other = [RatingItem(f"{weights_id}-pair-{CATCH_TAG}-{i}", "different", (some[i], x)) for i, x in enumerate(noise)]
    return asked + itself + other


def _noise_images(like: Tensor, num_items: int, seed: int) -> Tensor:
    """One image of noise for every CATCHES trials."""
    shape = (max(1, num_items // ITEMS_PER_CATCH), *like.shape[1:])
    return torch.randint(256, shape, generator=seeded_generator(seed, "catch")).to(torch.uint8)
