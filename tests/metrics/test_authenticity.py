"""Authenticity: against independent code, closed forms and planted faults."""

from dataclasses import replace

import pytest
import torch
from synthetic_features import D, evidence, real, view

from genlib.evaluation.runner import compute_metrics
from genlib.metrics.authenticity import authenticity, nearest_training


def test_copies_are_not_authentic_and_real_images_score_as_their_null():
    e = evidence(real(400, 4))
    copies = e.train[torch.arange(400)]
    assert authenticity(replace(e, samples=copies)).value == 0
    assert authenticity(replace(e, samples=view(copies.features + 1e-3))).value < 0.01
    found = compute_metrics(e, ["authenticity"])["authenticity"]
    assert 0.45 < found.null < 0.7 and abs(found.value - found.null) < 0.12


def test_closeness_is_what_it_says():
    train = torch.tensor([[0.0] * D, [3.0] + [0.0] * (D - 1), [10.0] + [0.0] * (D - 1)])
    made = torch.tensor([[1.0] + [0.0] * (D - 1), [8.0] + [0.0] * (D - 1)])
    close = nearest_training(made, train)
    assert close.index.tolist() == [0, 2]
    assert close.distance.tolist() == [1, 2] and close.spacing.tolist() == [3, 7]


@pytest.mark.parametrize("is_authentic", [True, False])
def test_one_image_repeated_counts_once(is_authentic):
    e = evidence(real(400, 4))
    alone = nearest_training(e.generated.features, e.train.features).is_authentic
    which = int((alone == is_authentic).nonzero()[0])
    rows = torch.cat([torch.full((200,), which), torch.arange(400)[torch.arange(400) != which][:200]])
    found = authenticity(replace(e, samples=e.generated[rows]))
    different = alone[rows[199:]]
    assert found.detail["distinct"] == 201 and found.value == float(different.double().mean())
    assert authenticity(replace(e, samples=e.generated[rows[:200]])).value is None
