"""Modes: against independent code, closed forms and planted faults."""

import math
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from synthetic_features import (
    D,
    evidence,
    view,
)

from genlib.data.random import seeded_generator
from genlib.metrics.modes import kl_of_counts, mode_kl, modes


def of_classes(counts, seed=0):
    classes = torch.tensor(counts).new_tensor([c for c, count in enumerate(counts) for _ in range(count)])
    classes = classes[torch.randperm(len(classes), generator=seeded_generator("order", seed))]
    return view(torch.randn(len(classes), D, generator=seeded_generator("features", seed)), classes)


def test_modes_counts_kinds_and_those_well_covered():
    measure = modes(evidence(of_classes([100, 60, 1, 19, 20])))
    assert measure.value == 5 and measure.detail["well_covered"] == 3 and measure.detail["in_test"] == 10
    assert measure.detail["counts"][:6] == [100, 60, 1, 19, 20, 0] and measure.low < 5 <= measure.high
    sure = modes(evidence(of_classes([20] * 10)))
    assert (sure.value, sure.low, sure.high) == pytest.approx((10, 10, 10), abs=1e-3)
    unnamed = modes(replace(evidence(of_classes([200])), has_class_names=False))
    assert unnamed.detail["kinds"].startswith("k-means") and 1 < unnamed.value <= 10


def test_mode_kl_goes_from_the_generated_to_the_training_images():
    e = replace(evidence(of_classes([150, 50])), train=of_classes([100, 100, 200]))
    measure = mode_kl(e)
    assert measure.value == pytest.approx(0.75 * math.log(0.75 / 0.25) + 0.25 * math.log(0.25 / 0.25))
    assert measure.low < measure.value < measure.high
    missing = mode_kl(replace(e, train=of_classes([400])))
    assert missing.value is None and missing.detail["reason"].startswith("50 generated images are of classes")


def test_mode_kl_of_equal_laws_is_its_bias():
    rng = np.random.default_rng(0)
    p = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    found = [kl_of_counts(*(torch.from_numpy(rng.multinomial(n, p)) for n in (400, 1000))) for _ in range(2000)]
    stated = mode_kl(replace(evidence(of_classes([80] * 5)), train=of_classes([250, 250, 200, 100, 100, 100])))
    assert fmean(found) == pytest.approx(5 / 2 * (1 / 400 + 1 / 1000), rel=0.06)
    assert stated.detail["bias"] == pytest.approx(5 / 2 * (1 / 400 + 1 / 1000))


def test_the_interval_of_mode_kl_covers_the_truth():
    rng = np.random.default_rng(1)
    p, q = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.25] * 4)
    truth, train = float((p * np.log(p / q)).sum()), of_classes([500] * 4)
    covered = 0
    for seed in range(200):
        made = of_classes(rng.multinomial(600, p).tolist(), seed)
        measure = mode_kl(replace(evidence(made), train=train))
        covered += measure.low <= truth <= measure.high
    assert 0.88 <= covered / 200 <= 0.99
