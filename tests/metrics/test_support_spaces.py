"""Support spaces: against independent code, closed forms and planted faults."""

from dataclasses import replace

import pytest
import torch
from synthetic_features import CLASSES, D, evidence, planted, real, view

from genlib.evaluation.controls import num_memorized
from genlib.figures.evaluation import plot_support_curve
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.stats.birthday import (
    PointSet,
    calibrate_thresholds,
)
from genlib.metrics.support import MAX_CURVE_IMAGES, support


def test_support_returns_the_stored_in_every_space(digits):
    spaces = support(digits.with_control_samples("stored")).detail["embeddings"]
    assert set(spaces) == {"features", "second", "pixels"}
    for read in spaces.values():
        assert read["low"] / 1.1 < num_memorized(359) < read["high"] * 1.1
    assert set(support(replace(digits, second_inputs=None)).detail["embeddings"]) == {"features", "pixels"}
    made = digits.second_inputs.generated
    broken = replace(digits.second_inputs, samples=replace(made, features=made.features * torch.nan))
    assert set(support(replace(digits, second_inputs=broken)).detail["embeddings"]) == {"features", "pixels"}


def test_support_sees_one_picture_that_only_the_pixels_show(digits):
    made = digits.generated
    surely = made.probabilities[:1].expand_as(made.probabilities)
    same = replace(made, pixels=made.pixels[:1].expand_as(made.pixels), probabilities=surely)
    spaces = support(replace(digits, samples=same)).detail["embeddings"]
    assert spaces["pixels"]["value"] == pytest.approx(1) and spaces["features"]["value"] > 500


@pytest.mark.parametrize("k", [20, 100])
def test_support_without_classes_counts_within_cells(k):
    e = replace(evidence(planted(k, 1000)), has_class_names=False)
    blind = [
        replace(one, probabilities=torch.full((len(one), 4), 0.25)) for one in (e.train, e.valid, e.test, e.generated)
    ]
    measure = support(MetricInputs(*blind, seed=0, has_class_names=False))
    assert len(measure.detail["radius"]) == 10
    assert measure.low / 1.1 < k < measure.high * 1.1


def test_the_curve_runs_level_at_one_over_the_number_stored():
    e = evidence(planted(50, 1000))
    curve = support(e).detail["curve"]
    assert all(curve[name] == sorted(curve[name]) and curve[name][-1] <= 1 for name in ("fake", "train", "test"))
    flat = [share for r, share in zip(curve["radius"], curve["fake"], strict=True) if r < 0.05]
    assert len(flat) > 5 and flat == pytest.approx([1 / 50] * len(flat), rel=0.1)
    assert max(share for r, share in zip(curve["radius"], curve["test"], strict=True) if r < 0.05) < 1e-3
    middle = [i for i, share in enumerate(curve["test"]) if 0.01 < share < 0.99]
    for i in middle:
        assert curve["train"][i] == pytest.approx(curve["test"][i], rel=0.2)


def test_the_curve_is_of_a_bounded_number_of_images():
    many = real(MAX_CURVE_IMAGES + 500, 4)
    many.features[MAX_CURVE_IMAGES:] = many.features[0]
    assert max(support(evidence(many)).detail["curve"]["fake"][:3]) == 0


def test_a_kind_that_real_images_lack_has_the_smallest_radius():
    sameness = calibrate_thresholds(
        PointSet(torch.tensor([[0.0], [1.0], [5.0], [8.0], [9.0]]), torch.tensor([0, 0, 1, 1, 2])), 1.0
    )
    assert sameness.radius == {0: 1.0, 1: 3.0} and sameness.radius_of(2) == sameness.radius_of(7) == 1.0


@pytest.mark.parametrize("fake", ["real", "constant", "far apart"])
def test_the_curve_is_drawn(fake, tmp_path):
    made = {
        "real": real(200, 4),
        "constant": view(torch.ones(200, D)),
        "far apart": view(torch.arange(200.0)[:, None].expand(200, D) * 1e3, torch.arange(200) % CLASSES),
    }[fake]
    path = plot_support_curve(support(evidence(made)), tmp_path / "figures" / "curve.png")
    assert path.read_bytes()[:4] == b"\x89PNG" and not list(path.parent.glob("*.partial"))
