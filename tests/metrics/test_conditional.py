"""Conditional: against independent code, closed forms and planted faults."""

from dataclasses import replace

import pytest
import torch
from synthetic_features import CENTRES, CLASSES, D, asked, evidence, labelled, real, rows, view

from genlib.evaluation.runner import compute_metrics
from genlib.metrics.conditional import label_agreement, mean_distances, mean_spread, one_to_many
from genlib.metrics.stats.intervals import wilson


def test_label_agreement_counts_what_the_judge_sees_and_its_null_is_the_judges_accuracy():
    e = evidence(real(400, 4))
    asked = e.generated.predicted_classes.clone()
    asked[:100] = (asked[:100] + 1) % CLASSES
    held = replace(e.valid, labels=(e.valid.predicted_classes + (torch.arange(len(e.valid)) < 40)) % CLASSES)
    found = compute_metrics(replace(e, samples=replace(e.generated, labels=asked), valid=held), ["label_agreement"])[
        "label_agreement"
    ]
    assert found.value == 0.75 and (found.low, found.high) == wilson(300, 400)
    assert found.null == 0.9 and found.n == 400
    assert label_agreement(e).detail["reason"] == "this model was not asked for classes"


def test_the_spread_is_the_mean_distance_of_pairs():
    distance = pytest.importorskip("scipy.spatial.distance")
    x = rows(47, 5, 0).double()
    assert float(mean_distances(x).mean()) == pytest.approx(distance.pdist(x.numpy()).mean(), rel=1e-9)
    by_hand = distance.squareform(distance.pdist(x.numpy())).sum(1) / 46
    assert mean_distances(x).tolist() == pytest.approx(by_hand.tolist(), rel=1e-9)


def test_the_variance_of_the_spread_is_that_over_draws():
    """Within 15 %, over 2,000 draws of three classes of other sizes and spreads."""
    draws = [mean_spread([rows(n, 4, 3 * i + j, 1.0 + j) for j, n in enumerate((20, 40, 60))]) for i in range(2000)]
    spreads, variances = torch.tensor(draws, dtype=torch.float64).unbind(1)
    assert float(variances.mean() / spreads.var()) == pytest.approx(1, abs=0.15)


def test_one_to_many_is_one_for_equal_laws_and_nothing_for_one_image_a_class():
    e = asked(real(600, 4))
    found = one_to_many(e)
    assert found.low < 1 < found.high and found.detail["classes"] == CLASSES
    assert one_to_many(asked(view(CENTRES[torch.arange(600) % CLASSES]))).value == 0
    centred = e.generated.features - CENTRES[e.generated.predicted_classes]
    half = replace(
        e,
        samples=labelled(
            view(CENTRES[e.generated.predicted_classes] + centred / 2, e.generated.predicted_classes),
            e.generated.predicted_classes,
        ),
    )
    assert one_to_many(half).value == pytest.approx(found.value / 2, rel=1e-6)
    assert label_agreement(half).value == 1


def test_one_to_many_says_why_it_has_no_value():
    e = asked(real(60, 4))
    single = replace(e, samples=labelled(e.generated, torch.arange(60)))
    assert one_to_many(single).detail["reason"] == "needs 3 generated and test images of one class"
    alike = labelled(view(torch.ones(400, D), torch.zeros(400, dtype=torch.long)), torch.zeros(400, dtype=torch.long))
    assert "same features" in one_to_many(replace(e, samples=alike[:60], test=alike)).detail["reason"]
    assert one_to_many(replace(e, test=real(400, 3))).detail["reason"] == "the test images have no labels"
