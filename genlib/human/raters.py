"""What people agree on: who of them looked, and which pairs of pictures most of those call the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from genlib.human.answers import Answer

MAX_CATCH_ERROR = 0.25  # share of wrong catch trials beyond which a rater is left out
MIN_ANSWERS = 20
IMAGE_ID_DIGITS = 8  # of the hash that a picture is named by


def filter_attentive(answers: Sequence[Answer]) -> tuple[list[Answer], list[str]]:
    """The answers of raters who looked, and the names of those who did not: they failed what is plain to see, or said
    the same of everything that has a right answer. The answers are of one form."""
    caught: dict[str, list[bool]] = {}
    said: dict[str, list[str]] = {}
    for answer in answers:
        if answer.is_catch:
            caught.setdefault(answer.rater, []).append(answer.is_wrong)
        elif answer.truth:
            said.setdefault(answer.rater, []).append(answer.answer)
    fooled = {rater for rater, wrong in caught.items() if sum(wrong) / len(wrong) > MAX_CATCH_ERROR}
    one_word = {rater for rater, words in said.items() if len(words) >= MIN_ANSWERS and len(set(words)) == 1}
    left_out = sorted(fooled | one_word)
    return [answer for answer in answers if answer.rater not in left_out], left_out


def image_id(pixels: Tensor) -> str:
    """A picture uint8 [C, H, W] by what is in it: so an answer is never about another one."""
    return hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()[:IMAGE_ID_DIGITS]


def pair_id(one: Tensor, other: Tensor) -> str:
    """Two pictures, in either order."""
    return "-".join(sorted(map(image_id, (one, other))))


def majority_same(answers: Sequence[Answer]) -> dict[str, bool]:
    """Whether more than half of those who looked call a pair the same picture, by `pair_name`."""
    said: dict[str, list[bool]] = {}
    for answer in filter_attentive([answer for answer in answers if answer.form == "pair"])[0]:
        if not answer.is_catch:
            said.setdefault("-".join(answer.item.split("-")[-2:]), []).append(answer.answer == "same")
    return {name: sum(same) > len(same) / 2 for name, same in said.items()}
