"""C2st: against independent code, closed forms and planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import (
    between,
    evidence,
    planted,
    real,
    rows,
    view,
)

from genlib.metrics.c2st import c2st


def test_c2st_is_the_leave_one_out_accuracy_of_scikit_learns_neighbour():
    neighbors = pytest.importorskip("sklearn.neighbors")
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = rows(80, 3, 0, 1.3), rows(80, 3, 1)
    both, kind = torch.cat([x, y]).double().numpy(), np.repeat([0, 1], 80)
    one = neighbors.KNeighborsClassifier(1, algorithm="brute")
    right = selection.cross_val_score(one, both, kind, cv=selection.LeaveOneOut())
    found = c2st(between(x, y))
    assert found.value == right.mean()
    assert (found.detail["made"], found.detail["real"]) == (right[:80].mean(), right[80:].mean())


def test_c2st_of_equal_laws_is_a_half_and_its_interval_covers_it():
    found = [c2st(between(rows(200, 6, s), rows(200, 6, 300 + s))) for s in range(80)]
    assert np.mean([m.value for m in found]) == pytest.approx(0.5, abs=0.012)
    assert 69 <= sum(m.low <= 0.5 <= m.high for m in found) <= 80


def test_c2st_tells_few_images_from_other_images():
    stored, far = c2st(evidence(planted(20, 400))), c2st(evidence(view(real(400, 4).features + 9)))
    assert stored.detail["made"] > 0.99 and stored.value > 0.7
    assert far.value > 0.99
    e = evidence(real(400, 4))
    assert c2st(replace(e, samples=e.real)).value == 0
