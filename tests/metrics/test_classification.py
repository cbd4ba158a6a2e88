"""The calibration error against the sum by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genlib.data.images import Images
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.classification import compute_ece
from genlib.metrics.inputs import FeatureSet, build_inputs, extract_features
from genlib.metrics.stats.calibration import assign_bins
from genlib.models import cnn_classifier, resnet_classifier

JUDGES = {"classifier": cnn_classifier, "scorer": resnet_classifier}
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(name, classes=10):
    return JUDGES[name].Build(SHAPE, classes, width=4, features=6).eval()


def images(n=60, labels=True):
    pixels = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8)
    return Images(pixels, torch.randint(0, 10, (n,)) if labels else None)


def draws(n, sureness=1.0):
    """Logits that are `sureness` times too large, and labels drawn from what they should have been."""
    logits = 2 * torch.randn(n, 5)
    labels = torch.multinomial(logits.softmax(1), 1).squeeze(1)
    return sureness * logits, labels


def seen(logits, labels):
    pixels = torch.zeros(len(logits), *SHAPE, dtype=torch.uint8)
    return FeatureSet(pixels, labels, torch.zeros(len(logits), 2), logits.softmax(1))


def by_hand(view, bins=15):
    """The sum of Guo et al. over bins, image by image in numpy."""
    p, labels = view.probabilities.double().numpy(), view.labels.numpy()
    confidence, correct = p.max(1), p.argmax(1) == labels
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("sureness", [0.5, 1.0, 3.0])
def test_the_error_is_the_one_by_hand(sureness):
    view = seen(*draws(700, sureness))
    found = compute_ece(view, 1.0)
    assert found.value == pytest.approx(by_hand(view), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high


def test_bins_hold_their_upper_end():
    assert assign_bins(torch.tensor([0.0, 0.01, 0.5, 0.99, 1.0])).tolist() == [0, 0, 7, 14, 14]


def test_the_bins_are_the_reliability_diagram():
    view = seen(*draws(700, 2.0))
    found = compute_ece(view, 1.0)
    bins = found.detail["bins"]
    assert sum(b["n"] for b in bins) == 700
    assert all(b["up_to"] - 1 / 15 < b["confidence"] <= b["up_to"] for b in bins)
    again = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / 700
    assert found.value == pytest.approx(again)


def test_the_error_without_the_temperature_is_known_from_the_calibrated_probabilities():
    logits, labels = draws(700, 3.0)
    found = compute_ece(seen(logits / 3, labels), 3.0)
    assert found.detail["uncalibrated"] == pytest.approx(by_hand(seen(logits, labels)), abs=1e-5)
    assert found.detail["uncalibrated"] > 3 * found.value


def test_what_calibrated_probabilities_score_by_chance():
    logits, _ = draws(400)
    p = logits.softmax(1)
    drawn = [compute_ece(seen(logits, torch.multinomial(p, 1).squeeze(1)), 1.0).value for _ in range(200)]
    assert compute_ece(seen(logits, p.argmax(1)), 1.0).detail["by_chance"] == pytest.approx(np.mean(drawn), rel=0.05)


def test_the_metric_reads_the_judge_itself_and_needs_labels():
    judge, sets = made("classifier"), [images(n) for n in (60, 50, 70)]
    judge.on_fit_end(sets[0], sets[1])
    found = compute_metrics(build_inputs(made("scorer"), *sets, None, 50, 0, model=judge), ["ece"])["ece"]
    assert found.value == pytest.approx(by_hand(extract_features(judge, sets[2])), abs=1e-12)
    assert found.detail["temperature"] == judge.temperature.value
    bare = [Images(each.pixels) for each in sets]
    reason = compute_metrics(build_inputs(judge, *bare, None, 50, 0, model=judge), ["ece"])["ece"].detail["reason"]
    assert reason == "the data have no labels"
