"""Values on halves of both sets, of which the test images are halved alike for every model."""

from dataclasses import replace

import pytest
import synthetic_features
import torch

from genlib.evaluation.halves import HALVINGS, add_halves, digest_of_test_images, iter_halves
from genlib.metrics.differences import compare_results, halves_of
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import get_metric

N = 200


def inputs_of(generated, seed=3):
    test = synthetic_features.real(N, seed)
    test = replace(test, labels=test.predicted_classes)
    return MetricInputs(synthetic_features.real(N, 1), synthetic_features.real(N, 2), test, generated, seed=0)


def evaluated(inputs, names=("kid", "coverage", "vendi")):
    return add_halves({name: get_metric(name)(inputs) for name in names}, inputs)


def test_halves_share_no_image_and_have_the_class_mix_of_the_whole():
    inputs = inputs_of(synthetic_features.real(N, 4))
    halves = list(iter_halves(inputs))
    whole = inputs.test.labels.bincount()
    for one, other in zip(halves[::2], halves[1::2], strict=True):
        for side in ("generated", "test"):
            both = torch.cat([getattr(half, side).features for half in (one, other)])
            assert both.unique(dim=0).shape == both.shape
        assert (one.test.labels.bincount(minlength=len(whole)) - whole / 2).abs().max() <= 1
    assert len(halves) == 2 * HALVINGS


def test_test_images_are_halved_alike_for_every_model_and_in_any_order():
    a = inputs_of(synthetic_features.real(N, 4))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    b = replace(a, samples=synthetic_features.noisy(1.0, N), test=a.test[order])
    assert digest_of_test_images(a) == digest_of_test_images(b)
    for one, other in zip(iter_halves(a), iter_halves(b), strict=True):
        assert torch.equal(*(half.test.features.sort(0).values for half in (one, other)))


@pytest.mark.parametrize("change", ["images", "number"])
def test_other_test_images_have_another_digest(change):
    a = inputs_of(synthetic_features.real(N, 4))
    b = inputs_of(a.generated, seed=9) if change == "images" else replace(a, samples=a.generated[: N - 20])
    assert digest_of_test_images(a) != digest_of_test_images(b)


def test_metrics_that_compare_with_test_images_have_values_on_halves():
    found = evaluated(inputs_of(synthetic_features.real(N, 4)))
    assert halves_of(found["kid"]).shape == (HALVINGS, 2)
    assert "halves" not in found["vendi"].detail  # of the generated images alone


def test_two_models_on_the_same_images_are_paired_and_a_model_does_not_differ_from_itself():
    a, b = (evaluated(inputs_of(made)) for made in (synthetic_features.real(N, 4), synthetic_features.planted(5, N)))
    for name in ("kid", "coverage"):
        found, itself = compare_results(name, a[name], b[name]), compare_results(name, a[name], a[name])
        assert (found.outcome, found.note) == ("worse", "")
        assert (itself.value, itself.outcome) == (0.0, "cannot tell")
