"""Inception score: against independent code, closed forms and planted faults."""

from dataclasses import replace

import pytest
import torch
from synthetic_features import CLASSES, D, evidence, real, view

from genlib.metrics.inception_score import inception_score


def test_inception_score_agrees_with_torch_fidelity():
    metric_isc = pytest.importorskip("torch_fidelity.metric_isc")
    logits = torch.randn(537, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    theirs = metric_isc.isc_features_to_metric(logits, splits=10, shuffle=False)["inception_score_mean"]
    assert inception_score(evidence(view(torch.zeros(537, D), logits=logits))).value == pytest.approx(theirs, rel=1e-6)


def test_inception_score_reaches_the_number_of_classes_and_factors():
    sure = torch.eye(CLASSES, dtype=torch.float64).repeat(50, 1) * 1e3
    measure = inception_score(evidence(view(torch.zeros(500, D), logits=sure)))
    assert measure.value == pytest.approx(10) and measure.detail["whole"] == pytest.approx(10)
    unsure = inception_score(evidence(view(torch.zeros(500, D), logits=torch.zeros(500, CLASSES))))
    assert unsure.value == pytest.approx(1) and unsure.detail["variety"] == pytest.approx(10)
    assert unsure.detail["confidence"] == pytest.approx(0.1)


def test_a_judge_without_classes_gives_no_inception_score():
    e = evidence(real(400, 4))
    assert inception_score(e).value is not None
    assert inception_score(replace(e, has_class_names=False)).detail["reason"] == "the extractor knows no classes"
