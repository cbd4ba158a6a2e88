"""The four forms of a question, and what is asked in each: which images are shown, and which answer is right.

Each form mixes in catch items, whose answer is plain to see, to find raters who do not look.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.data.random import seeded_generator

ITEMS_PER_CATCH = 12
CATCH_TAG = "catch"  # in the name of a catch item
WEIGHTS_ID_DIGITS = 8  # hex digits of the hash of the weights, with which the name of an item begins
IMAGE_ID_DIGITS = 8  # hex digits of the hash of an image
LEFT_RIGHT_ALT = ("The left image", "The right image")
REAL_FAKE_KEYS = {"real": ("Real (R)", ("r",)), "fake": ("Fake (F)", ("f",))}
LEFT_RIGHT_KEYS = {
    "left": ("Left (\u2190 or 1)", ("ArrowLeft", "1")),
    "right": ("Right (\u2192 or 2)", ("ArrowRight", "2")),
}


@dataclass(frozen=True)
class RatingItem:
    """One question.

    `name` begins with the id of the weights and ends with the ids of the images; `truth` is the right answer, "" where
    nobody knows it; `images` are one or two, uint8 [C, H, W].
    """

    name: str
    truth: str
    images: tuple[Tensor, ...]


def single_image(real: Tensor, fake: Tensor, seed: int, weights_id: str) -> list[RatingItem]:
    """Real and generated images uint8 [n, C, H, W], one at a time; catch items show noise."""
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
    """The items of `single_image` under names of their own."""
    return single_image(real, fake, seed, f"{weights_id}-timed")


def forced_choice(real: Tensor, fake: Tensor, seed: int, weights_id: str) -> list[RatingItem]:
    """Each real image beside a generated one, uint8 [n, C, H, W], on the left in half of the items; catch items show
    noise in the place of the generated one."""
    noise = _noise_images(real, len(real), seed)
    stems = [*(f"two-{i}" for i in range(len(real))), *(f"two-{CATCH_TAG}-{i}" for i in range(len(noise)))]
    real, other = torch.cat([real, real[: len(noise)]]), torch.cat([fake, noise])
    names = [f"{weights_id}-{stem}-{pair_id(x, y)}" for stem, x, y in zip(stems, real, other, strict=True)]
    left = torch.randperm(len(names), generator=seeded_generator(seed, "side")) % 2 == 0
    return [
        RatingItem(name, "left", (x, y)) if real_first else RatingItem(name, "right", (y, x))
        for name, x, y, real_first in zip(names, real, other, left, strict=True)
    ]


def same_different(pairs: Mapping[str, tuple[Tensor, Tensor]], seed: int, weights_id: str) -> list[RatingItem]:
    """Pairs of images by `pair_id`; catch items show an image beside itself, and beside noise."""
    items = [RatingItem(f"{weights_id}-pair-{name}", "", images) for name, images in pairs.items()]
    first = torch.stack([a for a, _ in pairs.values()])
    noise = _noise_images(first, len(first), seed)
    catch = f"{weights_id}-pair-{CATCH_TAG}"
    same = [RatingItem(f"{catch}-same-{i}", "same", (x, x)) for i, x in enumerate(first[: len(noise)])]
    different = [RatingItem(f"{catch}-{i}", "different", (first[i], x)) for i, x in enumerate(noise)]
    return items + same + different


def image_id(pixels: Tensor) -> str:
    """The hash of an image uint8 [C, H, W]."""
    return hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()[:IMAGE_ID_DIGITS]


def pair_id(a: Tensor, b: Tensor) -> str:
    """The hashes of two images, the same in either order."""
    return "-".join(sorted(map(image_id, (a, b))))


def _noise_images(like: Tensor, num_items: int, seed: int) -> Tensor:
    shape = (max(1, num_items // ITEMS_PER_CATCH), *like.shape[1:])
    return torch.randint(256, shape, generator=seeded_generator(seed, "catch")).to(torch.uint8)


@dataclass(frozen=True)
class QuestionForm:
    """`answers`: each possible answer -> the label of its button and the keys that give it; `build` makes the items;
    `error_metric`: the metric that is the share of wrong answers, where there is one."""

    title: str
    instructions: str
    alt_texts: tuple[str, ...]
    answers: Mapping[str, tuple[str, tuple[str, ...]]]
    build: Callable[..., list[RatingItem]]
    error_metric: str | None = None
    is_timed: bool = False


QUESTION_FORMS = {  # the keys stand in the names of items
    "one": QuestionForm(
        "Real or fake?",
        "Images are shown one at a time. About half of them are real; the others were made by a model. Say which.",
        ("An image, real or made by a model",),
        REAL_FAKE_KEYS,
        single_image,
        "human_error_rate",
    ),
    "timed": QuestionForm(
        "Real or fake, at a glance?",
        "Each image is shown for a moment, followed by noise; the more often you are right, the shorter. About half of "
        "the images are real; the others were made by a model. Say which. The page flickers: do not take part if that "
        "harms you.",
        ("An image, real or made by a model",),
        REAL_FAKE_KEYS,
        timed_image,
        is_timed=True,
    ),
    "two": QuestionForm(
        "Which one is real?",
        "Images are shown two by two. One of them is real; the other was made by a model. Say which is the real one.",
        LEFT_RIGHT_ALT,
        LEFT_RIGHT_KEYS,
        forced_choice,
        "human_choice_error",
    ),
    "pair": QuestionForm(
        "The same picture?",
        "Images are shown two by two. Say whether they are the same picture, apart from such small changes as two "
        "copies of it may have. Two pictures of the same thing are different pictures.",
        LEFT_RIGHT_ALT,
        {"same": ("Same (S)", ("s",)), "different": ("Different (D)", ("d",))},
        same_different,
    ),
}
