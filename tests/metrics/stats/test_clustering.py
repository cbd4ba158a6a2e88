"""k-means against scikit-learn, and kinds of images where a judge knows classes and where it does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import evidence, real, view

from genlib.data.images import Images
from genlib.metrics.inputs import build_inputs, extract_features
from genlib.metrics.stats.clustering import NUM_CLUSTERS, assign_clusters, kmeans
from genlib.registry import build


def inertia(x, centres):
    return float((x.double() - centres[assign_clusters(x, centres)]).square().sum())


def test_it_ends_as_low_as_that_of_scikit_learn_from_the_same_start():
    sklearn = pytest.importorskip("sklearn.cluster")
    x = real(600, 1).features
    ours = kmeans(x, 10, 0)
    moved = sklearn.KMeans(10, init=ours.numpy(), n_init=1, max_iter=1).fit(x.double().numpy())
    assert inertia(x, ours) == pytest.approx(moved.inertia_, rel=1e-6)
    np.testing.assert_allclose(ours.numpy(), moved.cluster_centers_, atol=1e-5)


def test_it_is_about_as_good_as_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.cluster")
    x = torch.randn(800, 4, generator=torch.Generator().manual_seed(0))
    theirs = [sklearn.KMeans(12, n_init=1, random_state=seed).fit(x.numpy()).inertia_ for seed in range(10)]
    ours = [inertia(x, kmeans(x, 12, seed)) for seed in range(10)]
    assert np.median(ours) == pytest.approx(np.median(theirs), rel=0.02)


def test_far_clusters_are_found():
    g = torch.Generator().manual_seed(3)
    centres = 100 * torch.randn(8, 5, generator=g, dtype=torch.float64)
    x = centres.repeat(50, 1) + torch.randn(400, 5, generator=g, dtype=torch.float64)
    found = kmeans(x, 8, 0)
    assert sorted(assign_clusters(x, found).bincount().tolist()) == [50] * 8
    assert torch.cdist(centres, found).amin(1).max() < 1


def test_of_few_different_rows_come_no_more_centres_than_rows():
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    for x in (rows, rows.repeat(40, 1)):
        assert sorted(kmeans(x, 10, 0).tolist()) == rows.tolist()
    assert kmeans(torch.ones(30, 4), 5, 0).tolist() == [[1.0] * 4]
    assert kmeans(torch.ones(1, 4), 5, 0).tolist() == [[1.0] * 4]


def test_the_seed_decides():
    x = real(300, 1).features
    assert torch.equal(kmeans(x, 7, 0), kmeans(x, 7, 0))
    assert not torch.equal(kmeans(x, 7, 0), kmeans(x, 7, 1))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_cells_are_the_nearest_centres_wherever_they_lie(scale):
    x, centres = real(500, 1).features.double() * scale + 10 * scale, real(9, 2).features.double() * scale + 10 * scale
    assert torch.equal(
        assign_clusters(x, centres), torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    )


def test_kinds_are_the_judges_classes_or_cells_of_test_images():
    e = evidence(real(300, 4))
    assert torch.equal(e.classes_or_clusters()(e.generated), e.generated.predicted_classes)
    kind = replace(e, has_class_names=False).classes_or_clusters()(e.test)
    assert len(kind.unique()) == NUM_CLUSTERS
    purity = sum(int(e.test.predicted_classes[kind == c].bincount().max()) for c in range(NUM_CLUSTERS)) / len(e.test)
    assert purity > 0.75


def test_the_order_of_the_judged_images_does_not_move_the_cells():
    e = replace(evidence(real(300, 4)), has_class_names=False)
    turned = replace(e, samples=e.generated[torch.arange(299, -1, -1)]).classes_or_clusters()
    assert torch.equal(turned(e.generated), e.classes_or_clusters()(e.generated))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_judge_of_quarter_turns_names_no_class(labelled):
    judge = build("models", {"name": "resnet_classifier", "width": 4}, (1, 8, 8), 10 if labelled else 0)
    g = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (60, 1, 8, 8), generator=g, dtype=torch.uint8)
    some = Images(pixels, torch.arange(60) % 10 if labelled else None)
    e = build_inputs(judge, some, some, some, some, 40, 0)
    assert e.has_class_names == labelled and extract_features(judge, some).probabilities.shape[1] == (
        10 if labelled else 4
    )
    assert e.with_real_samples().has_class_names == labelled
    expected = (
        e.generated.predicted_classes
        if labelled
        else assign_clusters(e.generated.features, kmeans(e.test.features, NUM_CLUSTERS, e.seed))
    )
    assert torch.equal(e.classes_or_clusters()(e.generated), expected)


def test_constant_features_are_one_kind():
    blind = view(torch.zeros(50, 3), torch.zeros(50, dtype=torch.long))
    e = replace(evidence(real(50, 4)), test=blind, has_class_names=False)
    assert e.classes_or_clusters()(blind).unique().tolist() == [0]
