"""Common diversity: against independent code, closed forms and planted faults."""

import json
from dataclasses import replace

import pytest
import torch
from synthetic_features import (
    D,
    evidence,
    real,
    view,
)

from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.metrics.inputs import MetricInputs, MissingSet
from genlib.metrics.modes import mode_kl, modes
from genlib.metrics.ndb import ndb
from genlib.metrics.stats import birthday as collisions
from genlib.metrics.stats import neighbours
from genlib.metrics.support import support
from genlib.metrics.vendi import vendi

DIVERSITY_METRICS = {"support": support, "modes": modes, "mode_kl": mode_kl, "ndb": ndb, "vendi": vendi}


def numbers(measure):
    """Every number of a measure, as one list."""

    def flat(thing):
        if isinstance(thing, dict):
            return [x for part in thing.values() for x in flat(part)]
        if isinstance(thing, list):
            return [x for part in thing for x in flat(part)]
        return [thing] if isinstance(thing, int | float) else []

    return [x for part in (measure.value, measure.low, measure.high, measure.detail) for x in flat(part)]


@pytest.mark.parametrize("name", DIVERSITY_METRICS)
def test_each_catches_what_it_says_on_real_digits(name, digits):
    metric = DIVERSITY_METRICS[name]
    found = compute_metrics(digits, [name])[name]
    assert set(found.detail["controls"]) == set(metric.must_detect)
    for control in found.detail["controls"].values():
        assert control["value"] is not None and control["failed"] is None
    assert found.failed_control is None and found.value is not None and found.null is not None


@pytest.mark.parametrize("name", DIVERSITY_METRICS)
def test_nothing_depends_on_the_chunk(name, digits, monkeypatch):
    whole = DIVERSITY_METRICS[name](digits)
    monkeypatch.setattr(collisions, "CHUNK_ELEMENTS", 1000)
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", 1000)
    parts = DIVERSITY_METRICS[name](digits)
    assert parts.value is not None
    for one, other in zip(numbers(whole), numbers(parts), strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("fake", ["constant", "one class", "copies"])
def test_degenerate_images_give_finite_numbers_or_a_reason(fake):
    e = evidence(real(200, 4))
    made = {
        "constant": view(torch.ones(200, D)),
        "one class": view(e.generated.features, torch.zeros(200, dtype=torch.long)),
        "copies": e.train[:200],
    }[fake]
    found = compute_metrics(replace(e, samples=made), DIVERSITY_METRICS)
    assert set(json.loads(json.dumps(report_to_json(found, (), {}), allow_nan=False))["metrics"]) == set(
        DIVERSITY_METRICS
    )
    assert all(measure.value is not None for measure in found.values())
    assert found["vendi"].value == pytest.approx(1) or fake != "constant"


def test_real_images_that_are_all_one_give_measures():
    blind = view(torch.ones(300, D), torch.zeros(300, dtype=torch.long))
    found = compute_metrics(MetricInputs(blind, blind, blind, blind, 0), DIVERSITY_METRICS)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {"support": 1, "modes": 1, "mode_kl": 0, "ndb": 0, "vendi": 1}
    )


def test_what_needs_no_training_images_has_a_value_without_them():
    found = compute_metrics(replace(evidence(real(200, 4)), train=MissingSet("none were given")), DIVERSITY_METRICS)
    for name in ("support", "modes", "vendi"):
        assert found[name].value is not None
    assert set(found["support"].detail["curve"]) == {"radius", "fake", "test"}
    assert found["mode_kl"].detail["reason"] == found["ndb"].detail["reason"] == "none were given"
