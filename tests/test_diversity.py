"""Collisions, modes, bins and the Vendi score against independent code, closed forms and planted faults."""

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from test_metrics import CLASSES, D, evidence, planted, real, view

from genlib.data.config import DataConfig
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.data.sources import mnist
from genlib.evaluation.controls import add_controls, num_memorized
from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.figures.evaluation import plot_support_curve
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet
from genlib.metrics.modes import kl_of_counts, mode_kl, modes
from genlib.metrics.ndb import bin_z_scores, count_different_bins, jensen_shannon, ndb
from genlib.metrics.stats import birthday as collisions
from genlib.metrics.stats import neighbours
from genlib.metrics.stats.birthday import (
    DuplicateThresholds,
    PointSet,
    calibrate_thresholds,
    correlation_integral,
    num_pairs,
)
from genlib.metrics.stats.clustering import assign_clusters, kmeans_of_subset
from genlib.metrics.support import MAX_CURVE_IMAGES, support
from genlib.metrics.vendi import effective_number, vendi

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
METRICS = {"support": support, "modes": modes, "mode_kl": mode_kl, "ndb": ndb, "vendi": vendi}


@pytest.fixture(scope="module")
def digits():
    """The 8x8 digits, 359 generated ones being real, as a judge sees them who knows their principal components and the
    nearest class mean; and the controls, all seen by a second judge too, who knows pixels."""
    datasets = pytest.importorskip("sklearn.datasets")
    all_ = datasets.load_digits()
    pixels = torch.from_numpy(all_.images * 15).round().to(torch.uint8)[:, None]
    pixels, labels = (
        x[torch.randperm(1797, generator=seeded_generator("digits"))] for x in (pixels, torch.from_numpy(all_.target))
    )
    x = pixels.flatten(1).double()
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:20].T

    def judge(axes):
        means = torch.stack([((x - x.mean(0)) @ axes)[labels == c].mean(0) for c in range(10)])

        def look(images):
            features = (images.pixels.flatten(1).double() - x.mean(0)) @ axes
            return FeatureSet(
                images.pixels, images.labels, features.float(), (-torch.cdist(features, means)).softmax(1)
            )

        return look

    def seen(look):
        parts = (slice(0, 720), slice(720, 1079), slice(1079, 1438), slice(1438, 1797))
        return add_controls(MetricInputs(*(look(Images(pixels[part], labels[part])) for part in parts), seed=0), look)

    return replace(seen(judge(axes)), second_inputs=seen(judge(torch.eye(64, dtype=torch.float64)[:, ::2])))


# --- against independent code


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


@pytest.mark.parametrize("d", [5, 400])
def test_vendi_is_the_entropy_of_numpys_eigenvalues(d):
    x = torch.randn(150, d, generator=seeded_generator("vendi", d))
    e = replace(evidence(real(150, 4)), samples=view(x, torch.zeros(150, dtype=torch.long)))
    unit = x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / 150)
    values = values[values > 1e-12]
    assert vendi(e).value == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-6)


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


# --- closed forms


def test_vendi_counts_orthogonal_images():
    x = torch.eye(8).repeat(30, 1)
    assert effective_number(x.double()) == pytest.approx(8)
    assert effective_number(x[:, :1].double().repeat(1, 3) * 0 + 1 / math.sqrt(3)) == pytest.approx(1)
    features = torch.cat([torch.eye(D)] * 10 + [torch.zeros(3, D)])
    e = replace(evidence(real(123, 4)), samples=view(features, torch.zeros(123, dtype=torch.long)))
    assert vendi(e).detail["reason"] == "3 images have features of length 0, which point nowhere"


def of_classes(counts, seed=0):
    classes = torch.tensor(counts).new_tensor([c for c, count in enumerate(counts) for _ in range(count)])
    classes = classes[torch.randperm(len(classes), generator=seeded_generator("order", seed))]
    return view(torch.randn(len(classes), D, generator=seeded_generator("features", seed)), classes)


def test_modes_counts_kinds_and_those_well_covered():
    measure = modes(evidence(of_classes([100, 60, 1, 19, 20])))
    assert measure.value == 5 and measure.detail["well_covered"] == 3 and measure.detail["in_test"] == 10
    assert measure.detail["counts"][:6] == [100, 60, 1, 19, 20, 0] and measure.low < 5 <= measure.high
    sure = modes(evidence(of_classes([20] * 10)))
    assert (sure.value, sure.low, sure.high) == (10, 10, 10)
    unnamed = modes(replace(evidence(of_classes([200])), has_class_names=False))
    assert unnamed.detail["kinds"].startswith("k-means") and 1 < unnamed.value <= 10


def test_mode_kl_goes_from_the_generated_to_the_training_images():
    e = replace(evidence(of_classes([150, 50])), train=of_classes([100, 100, 200]))
    measure = mode_kl(e)
    assert measure.value == pytest.approx(0.75 * math.log(0.75 / 0.25) + 0.25 * math.log(0.25 / 0.25))
    assert measure.low < measure.value < measure.high
    missing = mode_kl(replace(e, train=of_classes([400])))
    assert missing.value is None and missing.detail["reason"].startswith("50 generated images are of kinds")


def test_mode_kl_of_equal_laws_is_its_bias():
    rng = np.random.default_rng(0)
    p = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    found = [kl_of_counts(*(torch.from_numpy(rng.multinomial(n, p)) for n in (400, 1000))) for _ in range(2000)]
    stated = mode_kl(replace(evidence(of_classes([80] * 5)), train=of_classes([250, 250, 200, 100, 100, 100])))
    assert fmean(found) == pytest.approx(5 / 2 * (1 / 400 + 1 / 1000), rel=0.06)
    assert stated.detail["bias"] == pytest.approx(5 / 2 * (1 / 400 + 1 / 1000))


def test_the_interval_of_mode_kl_covers_the_truth():
    rng = np.random.default_rng(1)
    p, q = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.25] * 4)
    truth, train = float((p * np.log(p / q)).sum()), of_classes([500] * 4)
    covered = 0
    for seed in range(200):
        made = of_classes(rng.multinomial(600, p).tolist(), seed)
        measure = mode_kl(replace(evidence(made), train=train))
        covered += measure.low <= truth <= measure.high
    assert 0.88 <= covered / 200 <= 0.99


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


# --- planted truths


@pytest.mark.parametrize("name", METRICS)
def test_each_catches_what_it_says_on_real_digits(name, digits):
    metric = METRICS[name]
    found = compute_metrics(digits, [name])[name]
    assert set(found.detail["controls"]) == set(metric.must_detect)
    for control in found.detail["controls"].values():
        assert control["value"] is not None and control["failed"] is None
    assert found.failed_control is None and found.value is not None and found.null is not None


def test_support_returns_the_stored_in_every_space(digits):
    spaces = support(digits.with_control_samples("stored")).detail["embeddings"]
    assert set(spaces) == {"features", "second", "pixels"}
    for read in spaces.values():
        assert read["low"] / 1.1 < num_memorized(359) < read["high"] * 1.1
    assert set(support(replace(digits, second_inputs=None)).detail["embeddings"]) == {"features", "pixels"}
    made = digits.second_inputs.generated
    broken = replace(digits.second_inputs, samples=replace(made, features=made.features * torch.nan))
    assert set(support(replace(digits, second_inputs=broken)).detail["embeddings"]) == {"features", "pixels"}


def test_support_sees_one_picture_that_only_the_pixels_show(digits):
    made = digits.generated
    surely = made.probabilities[:1].expand_as(made.probabilities)
    same = replace(made, pixels=made.pixels[:1].expand_as(made.pixels), probabilities=surely)
    spaces = support(replace(digits, samples=same)).detail["embeddings"]
    assert spaces["pixels"]["value"] == pytest.approx(1) and spaces["features"]["value"] > 500


@pytest.mark.parametrize("k", [20, 100])
def test_support_without_classes_counts_within_cells(k):
    e = replace(evidence(planted(k, 1000)), has_class_names=False)
    blind = [
        replace(one, probabilities=torch.full((len(one), 4), 0.25)) for one in (e.train, e.valid, e.test, e.generated)
    ]
    measure = support(MetricInputs(*blind, seed=0, has_class_names=False))
    assert len(measure.detail["radius"]) == 10
    assert measure.low / 1.1 < k < measure.high * 1.1


def test_the_curve_runs_level_at_one_over_the_number_stored():
    e = evidence(planted(50, 1000))
    curve = support(e).detail["curve"]
    assert all(curve[name] == sorted(curve[name]) and curve[name][-1] <= 1 for name in ("fake", "train", "test"))
    flat = [share for r, share in zip(curve["radius"], curve["fake"], strict=True) if r < 0.05]
    assert len(flat) > 5 and flat == pytest.approx([1 / 50] * len(flat), rel=0.1)
    assert max(share for r, share in zip(curve["radius"], curve["test"], strict=True) if r < 0.05) < 1e-3
    middle = [i for i, share in enumerate(curve["test"]) if 0.01 < share < 0.99]
    for i in middle:
        assert curve["train"][i] == pytest.approx(curve["test"][i], rel=0.2)


def test_the_curve_is_of_a_bounded_number_of_images():
    many = real(MAX_CURVE_IMAGES + 500, 4)
    many.features[MAX_CURVE_IMAGES:] = many.features[0]
    assert max(support(evidence(many)).detail["curve"]["fake"][:3]) == 0


# --- what must not matter, and what cannot be measured


@pytest.mark.parametrize("name", METRICS)
def test_nothing_depends_on_the_chunk(name, digits, monkeypatch):
    whole = METRICS[name](digits)
    monkeypatch.setattr(collisions, "CHUNK_ELEMENTS", 1000)
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", 1000)
    parts = METRICS[name](digits)
    assert parts.value is not None
    for one, other in zip(numbers(whole), numbers(parts), strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-9)


def numbers(measure):
    """Every number of a measure, as one list."""

    def flat(thing):
        if isinstance(thing, dict):
            return [x for part in thing.values() for x in flat(part)]
        if isinstance(thing, list):
            return [x for part in thing for x in flat(part)]
        return [thing] if isinstance(thing, int | float) else []

    return [x for part in (measure.value, measure.low, measure.high, measure.detail) for x in flat(part)]


@pytest.mark.parametrize("fake", ["constant", "one class", "copies"])
def test_degenerate_images_give_finite_numbers_or_a_reason(fake):
    e = evidence(real(200, 4))
    made = {
        "constant": view(torch.ones(200, D)),
        "one class": view(e.generated.features, torch.zeros(200, dtype=torch.long)),
        "copies": e.train[:200],
    }[fake]
    found = compute_metrics(replace(e, samples=made), METRICS)
    assert set(json.loads(json.dumps(report_to_json(found, {}), allow_nan=False))["metrics"]) == set(METRICS)
    assert all(measure.value is not None for measure in found.values())
    assert found["vendi"].value == pytest.approx(1) or fake != "constant"


def test_real_images_that_are_all_one_give_measures():
    blind = view(torch.ones(300, D), torch.zeros(300, dtype=torch.long))
    found = compute_metrics(MetricInputs(blind, blind, blind, blind, 0), METRICS)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {"support": 1, "modes": 1, "mode_kl": 0, "ndb": 0, "vendi": 1}
    )


def test_a_kind_that_real_images_lack_has_the_smallest_radius():
    sameness = calibrate_thresholds(
        PointSet(torch.tensor([[0.0], [1.0], [5.0], [8.0], [9.0]]), torch.tensor([0, 0, 1, 1, 2])), 1.0
    )
    assert sameness.radius == {0: 1.0, 1: 3.0} and sameness.radius_of(2) == sameness.radius_of(7) == 1.0


@pytest.mark.parametrize("fake", ["real", "constant", "far apart"])
def test_the_curve_is_drawn(fake, tmp_path):
    made = {
        "real": real(200, 4),
        "constant": view(torch.ones(200, D)),
        "far apart": view(torch.arange(200.0)[:, None].expand(200, D) * 1e3, torch.arange(200) % CLASSES),
    }[fake]
    path = plot_support_curve(support(evidence(made)), tmp_path / "figures" / "curve.png")
    assert path.read_bytes()[:4] == b"\x89PNG" and not list(path.parent.glob("*.partial"))


def test_what_needs_no_training_images_has_a_value_without_them():
    found = compute_metrics(replace(evidence(real(200, 4)), train=MissingSet("none were given")), METRICS)
    for name in ("support", "modes", "vendi"):
        assert found[name].value is not None
    assert set(found["support"].detail["curve"]) == {"radius", "fake", "test"}
    assert found["mode_kl"].detail["reason"] == found["ndb"].detail["reason"] == "none were given"
