"""Pairs: against independent code, closed forms and planted faults."""

import pytest
import torch
from synthetic_features import inside, rows

from genlib.metrics.stats import pairs


@pytest.mark.parametrize("elements", [1, 700, 1 << 21])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, 1e3), (1e25, 0.0)])
def test_pairs_within_are_those_of_brute_force(scale, shift, elements, monkeypatch):
    """Also where float32 sees all at the edge (far from the origin), or overflows."""
    monkeypatch.setattr(pairs, "CHUNK_ELEMENTS", elements)
    x, y = (rows(n, 7, n, scale).double() + shift * torch.arange(n)[:, None] ** 2 for n in (53, 71))
    squares = torch.stack([(row - y).square().sum(1) for row in x])
    of_x, of_y = squares.sort(1).values[:, 9], squares.sort(0).values[9]
    of_rows, of_columns = inside(x, y, of_x, of_y)
    assert torch.equal(of_rows, squares < of_x[:, None]) and torch.equal(of_columns, squares < of_y)
