"""Kid: against independent code, closed forms and planted faults."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import between, evidence, noisy, real, rows

from genlib.metrics.kid import NUM_SUBSETS, kid, mmd

KID = importlib.import_module("genlib.metrics.kid")


@pytest.mark.parametrize("n", [400, 437])
def test_kid_agrees_with_torch_fidelity(n):
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    e = evidence(noisy(0.5, n), n=n)
    e = replace(e, test=e.test[:n])
    options = {"kid_subsets": 1, "kid_subset_size": n, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0, "rng_seed": 0, "verbose": False}
    x, y = e.generated.features.double(), e.real.features.double()
    theirs = metric_kid.kid_features_to_metric(x, y, **options)["kernel_inception_distance_mean"]
    assert kid(e).value == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("n", [400, 437])
@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception Distance. will save:UserWarning")
def test_kid_agrees_with_torchmetrics(n):
    torchmetrics = pytest.importorskip("torchmetrics.image.kid")
    e = evidence(noisy(0.5, n), n=n)
    e = replace(e, test=e.test[:n])
    theirs = torchmetrics.KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=n)
    theirs.update(e.generated.features.double(), real=False)
    theirs.update(e.real.features.double(), real=True)
    assert kid(e).value == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_kid_of_equal_laws_is_about_zero_and_may_be_negative():
    values = [kid(replace(evidence(real(400, 10 + s)), test=real(400, 50 + s))) for s in range(12)]
    assert min(m.value for m in values) < 0 < max(m.value for m in values)
    assert sum(m.low <= 0 <= m.high for m in values) >= 9


@pytest.mark.parametrize(("n", "size"), [(300, 300), (300, 100), (1500, 1000)])
def test_kid_on_subsets_agrees_with_torch_fidelity_on_the_same_subsets(n, size):
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = noisy(0.5, n).features.double(), real(n, 3).features.double()
    options = {"kid_subsets": 4, "kid_subset_size": size, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0, "rng_seed": 7, "verbose": False}
    theirs = metric_kid.kid_features_to_metric(x, y, **options)
    rng = np.random.RandomState(7)
    found = [mmd(*(part[rng.choice(n, size, replace=False)] for part in (x, y))) for _ in range(4)]
    assert np.mean(found) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert np.std(found) == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("apart", [True, False])
def test_kid_on_subsets_is_about_kid_and_seeded(apart, monkeypatch):
    monkeypatch.setattr(KID, "_separate_is_cheaper", lambda n, d: apart)
    e = evidence(noisy(1.0))
    measure, found = kid(e), kid(e).detail["subsets"]
    assert found["number"] == NUM_SUBSETS and found["size"] == 300
    assert found["mean"] == pytest.approx(measure.value, abs=3 * found["sd"] / NUM_SUBSETS**0.5 + 0.02 * measure.value)
    assert kid(replace(e, seed=1)).detail["subsets"]["mean"] != found["mean"]


@pytest.mark.parametrize(("n", "d"), [(600, 12), (2500, 4), (2500, 100)])
def test_kid_is_one_with_subsets_summed_with_all_pairs_or_apart(n, d, monkeypatch):
    pair = between(rows(n, d, 0, 1.0, 0.0), rows(n, d, 1, 1.2, 0.0))
    found = []
    for apart in (True, False):
        monkeypatch.setattr(KID, "_separate_is_cheaper", lambda *_, answer=apart: answer)
        found.append(kid(pair))
    one, other = found
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-6)
    assert one.detail["subsets"] == pytest.approx(other.detail["subsets"], rel=1e-4)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, 30.0), (1e6, 0.0)])
def test_kid_of_float32_features_is_that_of_the_same_numbers_in_float64(scale, shift):
    """Also where their cubes do not fit into float32."""
    x, y = rows(700, 24, 0, scale, shift), rows(700, 24, 1, 1.1 * scale, shift)
    rough, exact = kid(between(x, y)), kid(between(x.double(), y.double()))
    assert rough.value == pytest.approx(exact.value, abs=1e-3 * (exact.high - exact.low))
    assert (rough.low, rough.high) == pytest.approx((exact.low, exact.high), abs=1e-3 * (exact.high - exact.low))
