"""MIND: against an independent program, closed forms and planted faults."""

import numpy as np
import pytest
import torch
from synthetic_features import between, rows

from genlib.metrics.mind import draw_directions, mind, sliced_distance


def distance(x, y, count=1000):
    return sliced_distance(x.double(), y.double(), draw_directions(x.shape[1], count))[0]


def test_a_shift_costs_its_squared_projection_exactly():
    x, v = rows(300, 6, 0).double(), torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, 1.0], dtype=torch.float64)
    u = draw_directions(6, 50)
    assert sliced_distance(x + v, x, u)[0] == pytest.approx(3 * 6 * float((u @ v).square().mean()), rel=1e-12)
    assert distance(x + v, x, 20_000) == pytest.approx(3 * float(v.square().sum()), rel=0.03)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.5), (2.0, 1.0), (1.0, 0.5)])
def test_gaussians_on_a_line_have_the_closed_form(shift, scale):
    """W2^2 of N(m, s^2) and N(0, 1) is m^2 + (s - 1)^2."""
    normal = torch.distributions.Normal(0.0, 1.0)
    x = normal.icdf((torch.arange(20_000) + 0.5) / 20_000)[:, None].double()
    assert distance(scale * x + shift, x, 2) == pytest.approx(3 * (shift**2 + (scale - 1) ** 2), rel=2e-3)


def test_the_value_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    x, y, u = rows(80, 3, 0, 1.5).double(), rows(80, 3, 1).double(), draw_directions(3, 7)
    each = [np.square(np.sort((x @ v).numpy()) - np.sort((y @ v).numpy())).mean() for v in u]
    assert sliced_distance(x, y, u)[0] == pytest.approx(9 * np.mean(each), rel=1e-12)
    shift = [stats.wasserstein_distance((x @ v).numpy(), ((x + 1) @ v).numpy()) ** 2 for v in u]
    assert sliced_distance(x + 1, x, u)[0] == pytest.approx(9 * np.mean(shift), rel=1e-9)


def test_the_influences_are_the_potentials_of_kantorovich():
    """On a line: f(a_j) + g(b_j) = (a_j - b_j)^2 for those carried to each other, and f' is twice the way of each."""
    x, y = rows(4000, 1, 0, 1.4, 0.3).double().sort(0).values, rows(4000, 1, 1).double().sort(0).values
    value, of_x, of_y = (each / 3 for each in sliced_distance(x, y, torch.ones(1, 1, dtype=torch.float64)))
    gap = (x - y)[:, 0]
    assert torch.allclose(of_x + of_y, gap.square() - value, atol=1e-9)
    middle = slice(400, 3600)
    t = x[:, 0]
    exact = t.square() - (t - 0.3).square() / 1.4  # f'(t) = 2 (t - (t - 0.3) / 1.4)
    off = (of_x - exact)[middle]
    assert float((off - off.mean()).abs().max()) < 0.1 * float((exact[middle] - exact[middle].mean()).abs().max())


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_the_spread_over_draws_is_that_of_the_influences(shift):
    u = draw_directions(4, 100)
    sets = [(rows(200, 4, s, shift=shift).double(), rows(200, 4, 500 + s).double()) for s in range(100)]
    found = [sliced_distance(x, y, u) for x, y in sets]
    values = np.array([each[0] for each in found])
    plug_in = np.mean([float(of_x.var() + of_y.var()) / 200 for _, of_x, of_y in found])
    assert plug_in == pytest.approx(values.var(ddof=1), rel=0.35)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_interval_holds_that_both_sets_might_have_been_others(shift):
    found = [mind(between(rows(150, 4, s, shift=shift), rows(150, 4, 500 + s))) for s in range(40)]
    mean = np.mean([each.value for each in found])
    assert sum(each.low <= mean <= each.high for each in found) >= 34
    assert all(0 <= each.low <= each.value <= each.high for each in found)


def test_equal_sets_have_no_distance_and_the_order_does_not_matter():
    x, y = rows(200, 5, 0), rows(200, 5, 1, 1.2)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert distance(x, x[order]) == pytest.approx(0, abs=1e-20)
    assert mind(between(x[order], y)).value == pytest.approx(mind(between(x, y)).value, rel=1e-12)
