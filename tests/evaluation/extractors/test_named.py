"""How far a card trusts an extractor."""

import pytest
import torch

from genlib.evaluation.extractors.named import NamedExtractor, is_weak_judge
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.metrics.inputs import FeatureSet


@pytest.mark.parametrize(
    ("counts", "accuracy", "weak"),
    [
        ([100] * 10, 0.65, True),  # a small net on CIFAR-10
        ([100] * 10, 0.80, False),
        ([10] * 1000, 0.77, False),  # Inception v3 on ImageNet
        ([50, 50], 0.80, True),  # chance is a half
        ([50, 50], 0.90, False),
        ([90, 10], 0.92, True),  # always the first class is right on 90 %
        ([90], 1.0, False),
    ],
)
def test_a_judge_is_weak_relative_to_chance(counts, accuracy, weak):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    assert is_weak_judge(accuracy, labels) == weak


@pytest.mark.parametrize(("right", "noted"), [(60, True), (99, False)])
def test_a_weak_judge_is_noted_in_its_card(right, noted):
    labels = torch.arange(100) % 10
    predicted = torch.where(torch.arange(100) < right, labels, (labels + 1) % 10)
    probabilities = torch.nn.functional.one_hot(predicted, 10).float()
    test = FeatureSet(torch.zeros(100, 1, 8, 8, dtype=torch.uint8), labels, torch.zeros(100, 4), probabilities)
    network = torch.nn.Linear(4, 10)
    card = NamedExtractor(network, "scorer", "features", num_classes=10).card(CachedExtractor(network), test)
    assert card["accuracy"] == right / 100
    expected = "It is right on 60 % of the test images: treat its numbers as rough." if noted else None
    assert card.get("note") == expected
