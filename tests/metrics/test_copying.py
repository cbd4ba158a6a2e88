"""Copying: against independent code, closed forms and planted faults."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import evidence, noisy, real, view

from genlib.metrics.copying import average_cells, copying, mann_whitney_z
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.stats.neighbours import nearest


@pytest.mark.parametrize(("n", "m", "ties"), [(50, 70, False), (200, 30, True), (25, 400, True)])
def test_z_is_that_of_scipy(n, m, ties):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n) + 0.3, rng.normal(size=m)
    if ties:
        x, y = x.round(1), y.round(1)
    theirs = stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
    size = stats.norm.isf(theirs.pvalue / 2)
    value, low, high = mann_whitney_z(torch.from_numpy(x), torch.from_numpy(y))
    assert value == pytest.approx(math.copysign(size, theirs.statistic - n * m / 2), rel=1e-9)
    assert low < value < high
    assert mann_whitney_z(torch.ones(n), torch.ones(m)) == (0, 0, 0)


def test_z_is_the_difference_of_two_standard_normals_under_equal_laws():
    rng = np.random.default_rng(0)
    found = [mann_whitney_z(*(torch.from_numpy(rng.normal(size=60)) for _ in range(2))) for _ in range(500)]
    assert np.std([z for z, _, _ in found]) == pytest.approx(1, abs=0.1)
    assert 0.92 <= np.mean([low <= 0 <= high for _, low, high in found]) <= 0.975


def test_cells_weigh_as_much_as_their_test_images():
    rows = [{"real": 30, "z": -1.0, "low": -2.0, "high": 1.0}, {"real": 10, "z": 3.0, "low": 2.0, "high": 5.0}]
    value, low, high = average_cells(rows)
    assert (value, low) == (0, pytest.approx(-math.hypot(0.75, 0.25)))
    assert high == pytest.approx(math.hypot(1.5, 0.5))


def test_copies_lie_below_and_noise_above():
    e = evidence(real(400, 4))
    same = [copying(evidence(real(400, 30 + seed))) for seed in range(8)]
    assert abs(np.mean([m.value for m in same])) < 1 and sum(m.low <= 0 <= m.high for m in same) >= 5
    jittered = view(e.train.features[:400] + 0.3 * torch.randn(400, 12, generator=torch.Generator().manual_seed(1)))
    assert copying(replace(e, samples=e.train[torch.arange(400)])).high < -8
    assert copying(replace(e, samples=jittered)).high < min(m.low for m in same)
    assert copying(evidence(noisy(2.0))).low > 5
    assert [row["made"] for row in copying(e).detail["compared"]] and copying(e).detail["cells"] == 4


def test_cells_without_both_kinds_are_left_out_and_none_is_a_reason():
    apart = torch.cat([torch.zeros(100, 12), torch.full((100, 12), 50.0)]) + real(200, 1).features / 100
    one, two = view(apart[:100]), view(apart[100:])
    e = MetricInputs(view(apart), one, view(one.features.repeat(2, 1)), view(two.features.repeat(2, 1)), 0)
    assert "no cell holds more than 20 generated images" in copying(e).detail["reason"]


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_one_image_repeated_counts_once(share):
    """Repeated, the image that is nearest to a training image would draw C_T far below 0."""
    e = evidence(real(400, 4))
    distance = nearest(e.generated.features, e.train.features)[0][:, 0]
    order, times = distance.argsort(), int(400 * share)
    rows = torch.cat([order[:1].expand(times), order[torch.randperm(400, generator=torch.Generator().manual_seed(0))]])[
        :400
    ]
    found = copying(replace(e, samples=e.generated[rows]))
    assert found.detail["distinct"] == len(rows.unique()) and found.value > -2
    assert "different images" in copying(replace(e, samples=e.generated[order[:1].expand(400)])).detail["reason"]
