"""Support: against independent code, closed forms and planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import CLASSES, D, evidence, planted, real, view

from genlib.evaluation.runner import compute_metrics
from genlib.metrics.support import simpson_estimate, support


@pytest.mark.parametrize("n", [359, 2000])
def test_support_returns_the_number_of_stored_images(n):
    for k in (20, 100):
        measure = support(evidence(planted(k, n)))
        assert measure.value == pytest.approx(k, rel=0.12)
        assert measure.high < evidence(planted(k, n)).n * 20
    assert support(evidence(planted(1, n))).value == pytest.approx(1)


def test_real_images_do_not_look_collapsed():
    found = compute_metrics(evidence(real(359, 4)), ["support"])["support"]
    limit = 359 * 358 / 2 / 50
    assert limit / 2 < found.value < limit * 2 and limit / 2 < found.null < limit * 2
    assert found.detail["null"]["ratio"] == pytest.approx(found.value / found.null)


def test_support_without_a_collision_is_a_bound():
    spread = view(torch.arange(300.0)[:, None].expand(300, D) * 1e3, classes=torch.arange(300) % CLASSES)
    measure = support(evidence(spread))
    assert measure.detail["more_than"] and measure.high is None
    assert measure.value == measure.low == pytest.approx(300**2 / 22.5, rel=1e-3)


def test_support_of_a_class_that_real_images_lack_still_collapses():
    e = evidence(view(torch.full((200, D), 50.0), classes=torch.full((200,), 9)))
    kept = e.test.predicted_classes != 9
    assert support(replace(e, test=e.test[kept.nonzero().squeeze(1)])).value == pytest.approx(1)


def test_closest_pairs_are_the_closest():
    fake = real(300, 4)
    features = fake.features.clone()
    features[17], features[255] = features[3], features[200] + 1e-6
    pairs = support(evidence(view(features))).detail["closest_pairs"]
    assert sorted(pairs[:2]) == [[3, 17], [200, 255]]


@pytest.mark.parametrize("k", [100, 1000])
@pytest.mark.parametrize("law", ["uniform", "zipf", "spike"])
def test_the_interval_of_support_covers_the_truth(k, law):
    rng = np.random.default_rng(k)
    p = {"uniform": np.ones(k), "zipf": 1 / np.arange(1, k + 1), "spike": np.r_[k / 9, np.ones(k - 1)]}[law]
    p = p / p.sum()
    covered = 0
    for _ in range(200):
        x = rng.choice(k, 400, p=p)
        partners = torch.from_numpy(np.bincount(x, minlength=k)[x] - 1)
        _, low, high = simpson_estimate(partners)
        covered += low <= 1 / (p**2).sum() <= high
    assert 0.88 <= covered / 200 <= 0.995
