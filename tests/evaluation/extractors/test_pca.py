"""Components of pixels against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances_argmin

from genlib.data.images import Images, to_float
from genlib.evaluation.extractors.pca import MAX_SIDE, Pca
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.metrics.inputs import extract_features

DIGITS = Images(torch.from_numpy((load_digits().images * 255 / 16).round().astype(np.uint8))[:, None])


@pytest.mark.parametrize("n", [500, 40], ids=["more images than pixels", "fewer images than pixels"])
def test_components_are_those_of_scikit_learn(n):
    x = to_float(DIGITS[:n].pixels)
    rows = x.flatten(1).double().numpy()
    theirs = PCA(20, svd_solver="full").fit(rows)
    ours = Pca(DIGITS[:n], components=20)
    scores = ours.features(x).numpy()
    signs = np.sign((scores * theirs.transform(rows)).sum(0))
    np.testing.assert_allclose(scores, theirs.transform(rows) * signs, atol=1e-4)
    assert float(ours.explained) == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-5)


def test_all_components_keep_the_distances_of_pixels():
    pixels = to_float(DIGITS[:300].pixels)
    features = Pca(DIGITS[:300], components=64).features(pixels)
    torch.testing.assert_close(torch.pdist(features), torch.pdist(pixels.flatten(1)), rtol=1e-4, atol=1e-4)


def test_no_more_components_than_the_rank():
    assert Pca(DIGITS[:5]).directions.shape == (64, 4)


def test_classes_are_the_nearest_cells():
    judge = Pca(DIGITS[:500])
    view = extract_features(judge, DIGITS[500:700])
    assert view.predicted_classes.tolist() == pairwise_distances_argmin(view.features, judge.centres).tolist()
    torch.testing.assert_close(view.probabilities.sum(1), torch.ones(200))
    assert len(set(view.predicted_classes.tolist())) > 5


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 30), (1, 1, 1)])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_constant_images_have_finite_features(shape, n):
    images = Images(torch.full((n, *shape), 77, dtype=torch.uint8))
    view = extract_features(Pca(images), images)
    assert view.features.isfinite().all() and view.probabilities.isfinite().all()
    assert view.features.shape == (n, 1) and float(view.features.abs().max()) < 1e-5


def test_the_same_images_give_the_same_judge_and_others_another():
    hashes = [
        CachedExtractor(Pca(images, seed)).sha256
        for images, seed in ((DIGITS[:100], 0), (DIGITS[:100], 0), (DIGITS[1:101], 0))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_size_of_a_chunk_does_not_matter():
    judge = Pca(DIGITS[:200])
    one, two = (
        extract_features(judge, DIGITS[:200], chunk_size=7),
        extract_features(judge, DIGITS[:200], chunk_size=200),
    )
    torch.testing.assert_close(one.features, two.features, rtol=1e-6, atol=1e-5)


def test_large_images_are_averaged_down():
    images = Images(torch.randint(256, (6, 3, 2 * MAX_SIDE, 3 * MAX_SIDE), dtype=torch.uint8))
    assert Pca(images).directions.shape == (3 * MAX_SIDE * MAX_SIDE, 5)
