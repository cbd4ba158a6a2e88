"""Precision recall: against independent code, closed forms and planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import PRDC, between, evidence, inside, labelled, noisy, real, rows

from genlib.metrics import conditional, precision_recall
from genlib.metrics.precision_recall import coverage, density, precision, recall, squared_radii
from genlib.metrics.registry import get_metric
from genlib.metrics.stats import pairs
from genlib.metrics.stats.intervals import wilson


@pytest.mark.parametrize("amount", [0.0, 1.0, 4.0])
def test_coverage_is_exactly_that_of_prdc(amount, capsys):
    prdc = pytest.importorskip("prdc")
    e = evidence(noisy(amount))
    theirs = prdc.compute_prdc(e.real.features.numpy(), e.generated.features.numpy(), nearest_k=5)
    assert coverage(e).value == theirs["coverage"]


def test_coverage_of_equal_laws_is_about_097():
    assert coverage(evidence(real(2000, 4))).value == pytest.approx(1 - 2**-5, abs=0.015)


@pytest.mark.parametrize(("n", "d", "scale"), [(60, 2, 1.0), (301, 3, 0.5), (400, 32, 1.1), (500, 64, 1.0)])
def test_all_four_are_exactly_those_of_prdc(n, d, scale, capsys):
    prdc = pytest.importorskip("prdc")
    x, y = rows(n, d, 0, scale, 0.1), rows(n, d, 1)
    theirs = prdc.compute_prdc(y.double().numpy(), x.double().numpy(), nearest_k=5)
    for name, ours in PRDC.items():
        assert ours(between(x, y)).value == pytest.approx(theirs[name], abs=1e-12), name


def test_standard_normal_rows_as_on_the_page_of_prdc(capsys):
    """Its page has 10,000 standard normal rows of 1,000 numbers either way; here are a tenth of both."""
    prdc = pytest.importorskip("prdc")
    x, y = rows(1000, 100, 2), rows(1000, 100, 3)
    theirs = prdc.compute_prdc(y.double().numpy(), x.double().numpy(), nearest_k=5)
    found = {name: ours(between(x, y)) for name, ours in PRDC.items()}
    assert {name: measure.value for name, measure in found.items()} == pytest.approx(theirs, abs=1e-12)
    assert found["coverage"].low < 1 - 2**-5 < found["coverage"].high
    assert found["density"].low < 1 < found["density"].high


def test_the_edge_of_a_ball_is_outside_even_where_rounding_would_say_otherwise():
    """Points of a lattice far from the origin: very many distances equal a radius exactly."""
    axis = torch.arange(7.0)
    lattice = torch.cartesian_prod(axis, axis) * 0.1 + 1000
    exact = lattice.double()
    squares = (exact[:, None] - exact).square().sum(2)
    radii = squares.sort(1).values[:, 5]
    assert torch.equal(squared_radii(lattice), radii)
    of_rows, of_columns = inside(lattice, lattice, radii, radii)
    assert torch.equal(of_rows, squares < radii[:, None]) and torch.equal(of_columns, squares < radii[None, :])
    assert (squares == radii).any() and not inside(lattice, lattice + 0, 0 * radii, 0 * radii)[0].any()


@pytest.mark.parametrize("elements", [1, 700, 1 << 21])
@pytest.mark.parametrize("name", [*PRDC, "one_to_many"])
def test_results_do_not_depend_on_the_chunk(name, elements, monkeypatch):
    e = evidence(noisy(1.0))
    e = replace(
        e, samples=labelled(e.generated, e.generated.predicted_classes), test=labelled(e.test, e.test.predicted_classes)
    )
    whole = get_metric(name)(e)
    precision_recall.count_ball_members.cache_clear()
    for module in (pairs, conditional):
        monkeypatch.setattr(module, "CHUNK_ELEMENTS", elements)
    part = get_metric(name)(e)
    assert (part.value, part.low, part.high) == pytest.approx((whole.value, whole.low, whole.high), rel=1e-12)


def test_one_outlier_raises_recall_and_not_coverage():
    y = rows(300, 4, 0)
    x = torch.cat([torch.zeros(294, 4), rows(6, 4, 1) * 1e4])
    assert recall(between(x, y)).value > 0.9 > 0.1 > coverage(between(x, y)).value


def test_density_of_images_in_the_thick_of_it_is_above_one_and_precision_is_a_share():
    y = rows(500, 16, 0)
    e = between(rows(500, 16, 1, scale=0.5), y)
    assert density(e).low > 1 and precision(e).value == 1 and recall(e).value < 0.2


def test_intervals_hold_that_both_sets_might_have_been_others():
    pairs = [between(rows(200, 8, s, shift=0.4), rows(200, 8, 500 + s)) for s in range(60)]
    found = {name: [ours(pair) for pair in pairs] for name, ours in PRDC.items()}
    for name, measures in found.items():
        mean = np.mean([m.value for m in measures])
        assert sum(m.low <= mean <= m.high for m in measures) >= 51, name
        assert all(0 <= m.low <= m.value <= m.high for m in measures), name
    plain = [wilson(m.detail["inside"], m.n) for m in found["coverage"]]
    mean = np.mean([m.value for m in found["coverage"]])
    assert sum(low <= mean <= high for low, high in plain) < 51


@pytest.mark.parametrize("name", PRDC)
def test_the_order_of_images_does_not_change_the_interval(name):
    x, y = rows(300, 4, 0, 1, 0.3), rows(300, 4, 1)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    found, turned = (PRDC[name](between(part, y)) for part in (x, x[order]))
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high), rel=1e-9)
