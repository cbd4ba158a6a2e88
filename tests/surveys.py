"""Answers and surveys of raters who were never asked."""

import numpy as np
import pytest
import torch
from corner_images import TinyClassifier, corner_images

from genlib.human.answers import Answer
from genlib.human.app import Survey
from genlib.human.questions import QUESTION_FORMS, same_different
from genlib.human.staircase import staircase
from genlib.metrics.inputs import build_inputs


def answers(rater, right, wrong, *, item="fake", truth="fake"):
    other = {"real": "fake", "fake": "real"}[truth]
    said = [truth] * right + [other] * wrong
    return [Answer(rater, f"{item}-{i}", each, truth, 1.0, "2026-01-01") for i, each in enumerate(said)]


@pytest.fixture(scope="module")
def evidence():
    return build_inputs(
        TinyClassifier(), corner_images(40, 0), corner_images(40, 1), corner_images(40, 2), corner_images(40, 3), 40, 0
    )


REAL, FAKE = (torch.full((100, 1, 4, 4), value, dtype=torch.uint8) for value in (200, 50))


def asked(form, n):
    """n trials of a form, or of real and generated images n each, and those that are plain to see."""
    if form == "pair":
        return same_different({f"{i}-0": (REAL[i], FAKE[i]) for i in range(n)}, 0, "mark")
    return QUESTION_FORMS[form].build(REAL[:n], FAKE[:n], 0, "mark")


def survey(path, form="one", n=20):
    return Survey(QUESTION_FORMS[form], asked(form, n), path, 0)


def observer(threshold, looks, seed):
    """Which answers are wrong of an observer who is right in three of four after `threshold` ms, more after longer."""
    rng, wrong = np.random.default_rng(seed), []
    for _ in range(looks):
        right = 0.5 + 0.5 / (1 + (staircase(wrong)[-1] / threshold) ** -4)
        wrong.append(bool(rng.random() > right))
    return wrong


def say(rater, name, answer, truth=""):
    return Answer(rater, f"mark-pair-{name}", answer, truth, 1.0, "2026-01-01")
