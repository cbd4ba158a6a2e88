"""Frechet: against independent code, closed forms and planted faults."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import CLASSES, D, evidence, labelled, noisy, real, rows, view

from genlib.metrics.frechet import extrapolate_to_infinity, frechet, frechet_distance


def frechet_by_scipy(x, y):
    linalg = pytest.importorskip("scipy.linalg")
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(s1 @ s2).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * root))


FRECHET = importlib.import_module("genlib.metrics.frechet")


@pytest.mark.parametrize("amount", [0.0, 0.5, 3.0])
def test_frechet_agrees_with_scipy_and_torch_fidelity(amount):
    e = evidence(noisy(amount))
    x, y = e.generated.features.double(), e.real.features.double()
    value = frechet(e).value
    assert value == pytest.approx(frechet_by_scipy(x.numpy(), y.numpy()), rel=1e-6)
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    one, two = metric_fid.fid_features_to_statistics(x), metric_fid.fid_features_to_statistics(y)
    theirs = metric_fid.fid_statistics_to_metric(one, two, verbose=False)["frechet_inception_distance"]
    assert value == pytest.approx(theirs, rel=1e-6)


def test_frechet_of_shifted_and_scaled_copies_is_known():
    e = evidence(real(600, 4))
    x = e.real.features.double()
    shifted = frechet(replace(e, samples=view(x + 2.0))).value
    assert shifted == pytest.approx(4 * D, rel=1e-9)
    scaled = frechet(replace(e, samples=view((x - x.mean(0)) * 3 + x.mean(0)))).value
    assert scaled == pytest.approx(4 * float(x.var(0).sum()), rel=1e-9)
    assert frechet(replace(e, samples=view(x))).value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.2, 1.0), (0.0, 1.2)])
def test_the_extrapolated_distance_is_nearer_to_that_of_the_laws(shift, scale):
    n, d = 800, 20
    truth = d * (shift**2 + (scale - 1) ** 2)
    pairs = [(rows(n, d, s, scale, shift).double(), rows(n, d, 100 + s).double()) for s in range(8)]
    raw = np.array([frechet_distance(x, y) for x, y in pairs])
    found = np.array([float(extrapolate_to_infinity(x, y)["value"]) for x, y in pairs])
    error = abs(found.mean() - truth)
    assert error < 0.2 * abs(raw.mean() - truth) and error < 0.05
    assert np.mean(abs(found - truth) < abs(raw - truth)) >= 0.75


def test_extrapolation_is_a_straight_line_in_one_over_n(monkeypatch):
    monkeypatch.setattr(FRECHET, "frechet_distance", lambda x, y: 3.0 + 50.0 / len(x))
    assert float(extrapolate_to_infinity(torch.zeros(900, 5), torch.zeros(900, 5))["value"]) == pytest.approx(3)


def test_extrapolation_needs_eight_images_a_feature():
    assert "value" in extrapolate_to_infinity(rows(96, 12, 0), rows(96, 12, 1))
    few = frechet(evidence(real(95, 4)))
    assert few.value is not None
    assert few.detail["infinite"] == {"reason": "needs 96 images, eight times the extractor's 12 features, found 95"}


def test_frechet_of_each_class_is_that_of_its_images_alone():
    e = evidence(noisy(0.7))
    asked = replace(
        e, samples=labelled(e.generated, e.generated.predicted_classes), test=labelled(e.test, e.test.predicted_classes)
    )
    found = frechet(asked).detail["by_class"]
    pairs = [
        (e.generated.features[e.generated.predicted_classes == c], e.real.features[e.real.predicted_classes == c])
        for c in range(CLASSES)
    ]
    for c, (x, y) in enumerate(pairs):
        assert found["values"][str(c)] == pytest.approx(frechet_distance(x.double(), y.double()), rel=1e-9)
    assert found["mean"] == pytest.approx(np.mean(list(found["values"].values())))
    assert "by_class" not in frechet(e).detail
    unasked = replace(asked, samples=labelled(e.generated, asked.generated.labels.clamp(max=8)))
    assert frechet(unasked).detail["by_class"]["reason"].endswith("12 features, found 0 of class 9")
    assert frechet(replace(asked, test=e.test)).detail["by_class"] == {"reason": "the test images have no labels"}


def test_classes_that_are_exchanged_show_in_the_classes_alone():
    e = evidence(real(600, 4))
    e = replace(e, test=labelled(e.test, e.test.predicted_classes))
    right, wrong = (
        frechet(replace(e, samples=labelled(e.generated, (e.generated.predicted_classes + by) % CLASSES)))
        for by in (0, 1)
    )
    assert right.value == wrong.value
    assert wrong.detail["by_class"]["mean"] > 10 * right.detail["by_class"]["mean"]
