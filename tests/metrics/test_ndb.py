"""Ndb: against independent code, closed forms and planted faults."""

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from synthetic_features import evidence, real

from genlib.data.config import DataConfig
from genlib.data.random import seeded_generator
from genlib.data.sources import mnist
from genlib.metrics.modes import kl_of_counts
from genlib.metrics.ndb import bin_z_scores, count_different_bins, jensen_shannon, ndb
from genlib.metrics.stats.clustering import assign_clusters, kmeans_of_subset

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"


def test_the_divergences_and_scores_of_shares_are_those_of_scipy():
    stats, distance = pytest.importorskip("scipy.stats"), pytest.importorskip("scipy.spatial.distance")
    made, train = torch.tensor([30, 0, 12, 58]), torch.tensor([100, 40, 160, 300])
    p, q = made.numpy() / 100, train.numpy() / 600
    assert kl_of_counts(made, train) == pytest.approx(stats.entropy(p, q))
    assert jensen_shannon(made, train) == pytest.approx(distance.jensenshannon(p, q) ** 2)
    for z, a, b in zip(bin_z_scores(made, train).tolist(), made.tolist(), train.tolist(), strict=True):
        chi2 = stats.chi2_contingency([[a, 100 - a], [b, 600 - b]], correction=False).statistic
        assert z**2 == pytest.approx(chi2) and (z > 0) == (a / 100 > b / 600)


def test_bins_are_the_published_ones_of_mnist():
    """0, 4 and 11 different bins of 100 pixel bins, and divergences of .0014, .0041 and .016, are what the authors' own
    code found for held-out training images, test images and held-out ones without nines; here by three partitions of
    images at half the size, fitted to 5,000 of them."""
    if not (SHARED / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST")
    source = mnist(DataConfig(name="mnist", root=SHARED, split="official"))
    train, test = source.train(), source.test()
    x, other = (torch.nn.functional.avg_pool2d(one.pixels.float(), 2).flatten(1) / 255 for one in (train, test))
    found = {"held out": [], "test": [], "no nines": []}
    for seed in range(3):
        order = torch.randperm(60_000, generator=seeded_generator("mnist", seed))
        known, held = order[:50_000], order[50_000:]
        centres = kmeans_of_subset(x[known], 100, seed, "bins")
        cell = assign_clusters(x, centres)
        sets = {
            "held out": cell[held],
            "test": assign_clusters(other, centres),
            "no nines": cell[held][train.labels[held] != 9],
        }
        counts = cell[known].bincount(minlength=100)
        for name, own in sets.items():
            own = own.bincount(minlength=100)
            found[name].append((count_different_bins(bin_z_scores(own, counts))[0], jensen_shannon(own, counts)))
    number, js = ({name: fmean(one[i] for one in own) for name, own in found.items()} for i in (0, 1))
    assert number["held out"] <= 1 and 3 <= number["test"] <= 11 and 8 <= number["no nines"] <= 15
    assert js["held out"] == pytest.approx(0.0014, rel=0.15) and js["test"] == pytest.approx(0.0041, rel=0.25)
    assert js["no nines"] == pytest.approx(0.016, rel=0.3)


def test_the_interval_of_ndb_covers_the_mean_of_its_number():
    rng = np.random.default_rng(2)
    q = np.full(50, 0.02)
    p = q + np.repeat([0.008, -0.008, 0.0, 0.0, 0.0], 10)
    draws = [[torch.from_numpy(rng.multinomial(n, law)) for n, law in ((2000, p), (4000, q))] for _ in range(400)]
    found = [count_different_bins(bin_z_scores(*one)) for one in draws]
    truth = fmean(value for value, _, _ in found)
    assert 1 < truth < 20
    assert fmean(low <= truth <= high for _, low, high in found) >= 0.9


def test_ndb_sees_a_class_that_is_left_out():
    whole, part = real(1200, 4), real(1200, 4)
    part = part[(part.predicted_classes != 3).nonzero().squeeze(1)]
    kept, lacking = (ndb(evidence(fake, train=3000)) for fake in (whole[: len(part)], part))
    assert kept.value <= 2 and lacking.value >= 3 and lacking.low > kept.high / 2
    assert lacking.detail["bins"] == len(part) // 20
    assert lacking.detail["js"] > 2 * lacking.detail["js_bias"] > kept.detail["js"] / 2
