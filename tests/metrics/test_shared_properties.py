"""Common: against independent code, closed forms and planted faults."""

import json
import warnings
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from synthetic_features import (
    CLASSES,
    PRDC,
    SAMPLE_METRICS,
    D,
    asked,
    blobs,
    evidence,
    labelled,
    noisy,
    of_pixels,
    planted,
    real,
    seen,
    view,
)

from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.metrics.copies import copies
from genlib.metrics.frechet import frechet
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import get_metric

MEMORIZATION_METRICS = ("authenticity", "copies", "copying", "fld", "fld_gap")


def test_more_noise_is_worse():
    steps = [
        compute_metrics(evidence(noisy(amount)), ["frechet", "kid", "coverage"]) for amount in (0.0, 0.7, 1.5, 4.0)
    ]
    for one, two in pairwise(steps):
        assert one["frechet"].value < two["frechet"].value
        assert one["kid"].value < two["kid"].value
        assert one["coverage"].value > two["coverage"].value


@pytest.mark.parametrize("name", ["authenticity", "coverage", "frechet", "kid", "support"])
def test_the_order_of_images_does_not_matter(name):
    e = evidence(noisy(0.5))
    order = torch.randperm(e.n, generator=torch.Generator().manual_seed(0))
    assert get_metric(name)(replace(e, samples=e.generated[order])).value == pytest.approx(
        get_metric(name)(e).value, rel=1e-7
    )


def test_too_few_images_give_none_and_the_reason_and_the_others_are_given():
    found = compute_metrics(evidence(real(50, 4)), SAMPLE_METRICS)
    assert found["inception_score"].value is None and found["inception_score"].null is None
    assert found["support"].detail["reason"] == "needs at least 100 images of each kind, found 50"
    assert found["coverage"].value is not None and found["coverage"].null is not None
    wide = MetricInputs(*[view(torch.randn(60, 80), torch.zeros(60, dtype=torch.long)) for _ in range(4)], seed=0)
    assert "60 images are too few for 80 features" in frechet(wide).detail["note"]


def test_features_that_are_not_finite_give_the_reason():
    features = real(200, 4).features.clone()
    features[7, 0], features[8, 1] = torch.nan, torch.inf
    found = compute_metrics(evidence(view(features, torch.zeros(200, dtype=torch.long))), SAMPLE_METRICS)
    for measure in found.values():
        assert measure.value is None and "features of 2 of 200 generated images" in measure.detail["reason"]
        assert measure.null is not None


@pytest.mark.parametrize("fake", ["constant", "huge", "one class", "copies"])
def test_degenerate_images_still_give_plain_finite_json(fake):
    e = evidence(real(200, 4))
    made = {
        "constant": view(torch.ones(200, D)),
        "huge": view(e.generated.features * 1e30),
        "one class": view(e.generated.features, torch.zeros(200, dtype=torch.long)),
        "copies": e.train[:200],
    }[fake]
    text = json.dumps(
        report_to_json(compute_metrics(replace(e, samples=made), SAMPLE_METRICS), (), {"seed": 0}), allow_nan=False
    )
    assert set(json.loads(text)["metrics"]["kid"]) == {"value", "low", "high", "null", "n", "detail"}


def test_a_constant_judge_gives_measures():
    blind = view(torch.zeros(300, D), torch.zeros(300, dtype=torch.long))
    found = compute_metrics(MetricInputs(blind, blind, blind, blind, 0), SAMPLE_METRICS)
    assert found["coverage"].value == 0 and found["support"].value == pytest.approx(1)


def test_a_model_without_images_gets_reasons():
    found = compute_metrics(replace(evidence(real(50, 4)), samples=None), SAMPLE_METRICS)
    assert {measure.detail["reason"] for measure in found.values()} == {"this model makes no images"}


def test_what_they_declare_to_catch_they_catch():
    n, g = 359, torch.Generator().manual_seed(8)
    e = asked(real(n, 4))
    valid = labelled(e.valid, e.valid.predicted_classes)
    first = torch.stack([(valid.predicted_classes == c).nonzero()[0, 0] for c in range(CLASSES)])
    stored, noise = planted(n // 10, n), torch.randn(n, D, generator=g) * 0.3 + 12
    faults = {
        "real": valid[:n],
        "stored": labelled(stored, stored.predicted_classes),
        "collapse": valid[first[torch.randint(CLASSES, (n,), generator=g)]],
        "noise": labelled(view(noise, logits=0.1 * torch.randn(n, CLASSES, generator=g)), valid[:n].labels),
        "blurred": labelled(view(valid.features[:n] / 2, logits=valid.probabilities[:n].log() / 4), valid[:n].labels),
    }
    names = [*PRDC, "frechet", "kid", "c2st", "inception_score", "one_to_many", "label_agreement"]
    for name, measure in compute_metrics(replace(e, valid=valid, controls=faults), names).items():
        controls = measure.detail["controls"]
        assert set(controls) == set(get_metric(name).must_detect) and controls, name
        assert measure.failed_control is None, name


@pytest.mark.parametrize("name", ["precision", "recall", "density", "c2st", "sharpness", "one_to_many"])
def test_too_few_images_and_constant_ones_give_numbers_or_the_reason(name):
    few = asked(real(10, 4))
    assert "images of each kind, found 10" in get_metric(name)(few).detail["reason"]
    blind = labelled(view(torch.zeros(100, D), torch.zeros(100, dtype=torch.long)), torch.zeros(100, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = get_metric(name)(MetricInputs(blind, blind, blind, blind, 0))
    assert (found.value is None) == ("reason" in found.detail)


def test_all_that_look_at_copies_catch_the_planted_ones():
    e = of_pixels(blobs(300, 9))
    e = replace(e, controls={"real": e.valid[:300], "copies": e.train[torch.arange(300)]})
    for name in ("authenticity", "copies", "copying", "fld_gap"):
        found = compute_metrics(e, [name])[name]
        assert found.failed_control is None and set(found.detail["controls"]) == {"copies"}


def test_few_images_give_the_reason():
    found = compute_metrics(of_pixels(blobs(300, 9), n=15), MEMORIZATION_METRICS)
    for name, least in zip(MEMORIZATION_METRICS, (20, 20, 40, 40, 40), strict=True):
        assert found[name].detail["reason"] == f"needs at least {least} images of each kind, found 15"
    e = of_pixels(blobs(300, 9))
    bare = compute_metrics(replace(e, train=e.train[:0]), MEMORIZATION_METRICS)
    assert all("training images, found" in measure.detail["reason"] for measure in bare.values())


@pytest.mark.parametrize("fault", ["constant", "all constant", "twice", "huge"])
def test_odd_images_still_give_plain_finite_json(fault):
    e = of_pixels(blobs(300, 9))
    flat = seen(torch.full((400, 1, 16, 16), 7, dtype=torch.uint8))
    odd = {
        "constant": replace(e, samples=flat[:300]),
        "all constant": MetricInputs(flat, flat, flat, flat[:300], 0),
        "twice": replace(e, train=seen(e.train.pixels.repeat(2, 1, 1, 1))),
        "huge": replace(e, samples=replace(e.generated, features=e.generated.features * 1e15)),
    }[fault]
    found = compute_metrics(odd, MEMORIZATION_METRICS)
    json.dumps(report_to_json(found, (), {}), allow_nan=False)
    for measure in found.values():
        assert measure.value is not None or ("constant" in fault and "different images" in measure.detail["reason"])
    if fault == "twice":
        assert abs(found["copies"].value) < 0.03 and copies(replace(odd, samples=odd.train[:300])).low > 0.9
