"""Birthday: against independent code, closed forms and planted faults."""

import numpy as np
import pytest
import torch
from synthetic_features import real

from genlib.metrics.stats import birthday as collisions
from genlib.metrics.stats.birthday import (
    DuplicateThresholds,
    PointSet,
    calibrate_thresholds,
    correlation_integral,
    num_pairs,
)


def brute_force(x, kind):
    """Distances between all rows, infinite between kinds and of a row to itself."""
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    distances[(kind[:, None] != kind[None]) | np.eye(len(x), dtype=bool)] = np.inf
    return distances


@pytest.mark.parametrize("elements", [1 << 22, 700])
def test_collisions_are_those_of_brute_force(elements, monkeypatch):
    monkeypatch.setattr(collisions, "CHUNK_ELEMENTS", elements)
    test, made = (PointSet(view.features, view.predicted_classes) for view in (real(500, 2), real(300, 4)))
    sameness = calibrate_thresholds(test, 0.001)
    distances = brute_force(test.x.double().numpy(), test.cluster.numpy())
    passed = 0
    for kind, radius in sameness.radius.items():
        own = distances[test.cluster == kind]
        count = round((own <= radius * (1 + 1e-9)).sum() / 2)
        within = 0.001 * num_pairs(500) / sum(num_pairs(int((test.cluster == c).sum())) for c in sameness.radius)
        assert count == max(1, round(within * num_pairs(len(own))))
        passed += count
    assert sameness.rate == passed / num_pairs(500)
    wide = DuplicateThresholds({kind: 4 * radius for kind, radius in sameness.radius.items()}, sameness.rate)
    theirs = brute_force(made.x.double().numpy(), made.cluster.numpy())
    reach = np.array([wide.radius_of(kind) for kind in made.cluster.tolist()])
    partners = wide.duplicate_counts(made)
    assert partners.sum() > 100
    np.testing.assert_array_equal(partners.numpy(), (theirs <= reach[:, None]).sum(1))


@pytest.mark.parametrize("elements", [1 << 22, 700])
def test_the_curve_is_the_share_of_scipys_pairs(elements, monkeypatch):
    distance = pytest.importorskip("scipy.spatial.distance")
    monkeypatch.setattr(collisions, "CHUNK_ELEMENTS", elements)
    x, radii = real(200, 1).features.double(), torch.logspace(-1, 2, 30, dtype=torch.float64)
    pairs = distance.pdist(x.numpy())
    np.testing.assert_allclose(
        correlation_integral(x, radii).numpy(), [(pairs <= r).mean() for r in radii.tolist()], rtol=1e-12
    )
    assert correlation_integral(x[:1], radii).tolist() == [0.0] * 30
