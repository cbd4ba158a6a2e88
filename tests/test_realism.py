"""The measures of realism against independent code, closed forms and planted faults."""

import importlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_metrics import CENTRES, CLASSES, D, evidence, noisy, planted, real, view

from genlib.evaluation.runner import compute_metrics
from genlib.metrics import conditional, precision_recall
from genlib.metrics.c2st import c2st
from genlib.metrics.conditional import label_agreement, mean_pair_distances, one_to_many
from genlib.metrics.frechet import extrapolate_to_infinity, frechet, frechet_distance
from genlib.metrics.inception_score import inception_score
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.kid import NUM_SUBSETS, kid, mmd
from genlib.metrics.precision_recall import coverage, density, precision, recall, squared_radii
from genlib.metrics.registry import get_metric
from genlib.metrics.sharpness import laplacian_variance, sharpness
from genlib.metrics.stats import pairs
from genlib.metrics.stats.intervals import group_slices, jackknife, wilson, wilson_jackknife
from genlib.metrics.stats.pairs import pairs_within

KID = importlib.import_module("genlib.metrics.kid")
FRECHET = importlib.import_module("genlib.metrics.frechet")
PRDC = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def rows(n, d, seed, scale=1.0, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale + shift


def between(x, y):
    """Evidence of features x against test features y, as many of each."""
    x, y = (view(part, torch.zeros(len(part), dtype=torch.long)) for part in (x, y))
    return MetricInputs(y, y, y, x, 0)


def labelled(some, labels):
    return replace(some, labels=labels)


def drawn(pixels):
    """A view of uint8 [n, C, H, W] that no judge saw."""
    return FeatureSet(pixels, None, torch.zeros(len(pixels), 1), torch.ones(len(pixels), 1))


# --- precision, recall, density, coverage


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
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, 1e3), (1e25, 0.0)])
def test_pairs_within_are_those_of_brute_force(scale, shift, elements, monkeypatch):
    """Also where float32 sees all at the edge (far from the origin), or overflows."""
    monkeypatch.setattr(pairs, "CHUNK_ELEMENTS", elements)
    x, y = (rows(n, 7, n, scale).double() + shift * torch.arange(n)[:, None] ** 2 for n in (53, 71))
    squares = torch.stack([(row - y).square().sum(1) for row in x])
    of_x, of_y = squares.sort(1).values[:, 9], squares.sort(0).values[9]
    of_rows, of_columns = inside(x, y, of_x, of_y)
    assert torch.equal(of_rows, squares < of_x[:, None]) and torch.equal(of_columns, squares < of_y)


def inside(x, y, of_x, of_y):
    """Whether each pair lies within the radius of its row, and of its column, bool [n, m]."""
    found = torch.zeros(2, len(x), len(y), dtype=torch.bool)
    for parts in pairs_within(x, y, of_x, of_y):
        for which, (row, column) in zip(found, parts, strict=True):
            which[row, column] = True
    return found


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


def test_the_interval_of_a_share_is_wilsons_where_trials_are_independent():
    trials = np.random.default_rng(0).random(2000) < 0.3
    without = [float(np.delete(trials, np.r_[g]).mean()) for g in group_slices(2000)]
    low, high = wilson_jackknife(float(trials.mean()), 2000, without)
    assert (low, high) == pytest.approx(wilson(int(trials.sum()), 2000), abs=0.01)
    repeated = np.repeat(trials[:100], 20)
    without = [float(np.delete(repeated, np.r_[g]).mean()) for g in group_slices(2000)]
    wide = wilson_jackknife(float(repeated.mean()), 2000, without)
    assert wide == pytest.approx(wilson(int(trials[:100].sum()), 100), abs=0.05)
    assert wilson_jackknife(0.0, 50, [0.0] * 20) == wilson(0, 50)


# --- frechet


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.2, 1.0), (0.0, 1.2)])
def test_the_extrapolated_distance_is_nearer_to_that_of_the_laws(shift, scale):
    n, d = 800, 20
    truth = d * (shift**2 + (scale - 1) ** 2)
    pairs = [(rows(n, d, s, scale, shift).double(), rows(n, d, 100 + s).double()) for s in range(8)]
    raw = np.array([frechet_distance(x, y) for x, y in pairs])
    found = np.array([float(extrapolate_to_infinity(x, y)["value"]) for x, y in pairs])
    error = abs(found.mean() - truth)
    assert error < 0.2 * abs(raw.mean() - truth) and error < 0.05
    assert np.mean(abs(found - truth) < abs(raw - truth)) >= 0.75


def test_extrapolation_is_a_straight_line_in_one_over_n(monkeypatch):
    monkeypatch.setattr(FRECHET, "frechet_distance", lambda x, y: 3.0 + 50.0 / len(x))
    assert float(extrapolate_to_infinity(torch.zeros(900, 5), torch.zeros(900, 5))["value"]) == pytest.approx(3)


def test_extrapolation_needs_eight_images_a_feature():
    assert "value" in extrapolate_to_infinity(rows(96, 12, 0), rows(96, 12, 1))
    few = frechet(evidence(real(95, 4)))
    assert few.value is not None
    assert few.detail["infinite"] == {"reason": "needs 96 images, eight times the judge's 12 features, found 95"}


def test_frechet_of_each_class_is_that_of_its_images_alone():
    e = evidence(noisy(0.7))
    asked = replace(
        e, samples=labelled(e.generated, e.generated.predicted_classes), test=labelled(e.test, e.test.predicted_classes)
    )
    found = frechet(asked).detail["by_class"]
    pairs = [
        (e.generated.features[e.generated.predicted_classes == c], e.real.features[e.real.predicted_classes == c])
        for c in range(CLASSES)
    ]
    for c, (x, y) in enumerate(pairs):
        assert found["values"][str(c)] == pytest.approx(frechet_distance(x.double(), y.double()), rel=1e-9)
    assert found["mean"] == pytest.approx(np.mean(list(found["values"].values())))
    assert "by_class" not in frechet(e).detail
    unasked = replace(asked, samples=labelled(e.generated, asked.generated.labels.clamp(max=8)))
    assert frechet(unasked).detail["by_class"]["reason"].endswith("12 features, found 0 of class 9")
    assert frechet(replace(asked, test=e.test)).detail["by_class"] == {"reason": "the test images have no labels"}


def test_classes_that_are_exchanged_show_in_the_classes_alone():
    e = evidence(real(600, 4))
    e = replace(e, test=labelled(e.test, e.test.predicted_classes))
    right, wrong = (
        frechet(replace(e, samples=labelled(e.generated, (e.generated.predicted_classes + by) % CLASSES)))
        for by in (0, 1)
    )
    assert right.value == wrong.value
    assert wrong.detail["by_class"]["mean"] > 10 * right.detail["by_class"]["mean"]


# --- kid


@pytest.mark.parametrize(("n", "size"), [(300, 300), (300, 100), (1500, 1000)])
def test_kid_on_subsets_agrees_with_torch_fidelity_on_the_same_subsets(n, size):
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = noisy(0.5, n).features.double(), real(n, 3).features.double()
    options = {"kid_subsets": 4, "kid_subset_size": size, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0, "rng_seed": 7, "verbose": False}
    theirs = metric_kid.kid_features_to_metric(x, y, **options)
    rng = np.random.RandomState(7)
    found = [mmd(*(part[rng.choice(n, size, replace=False)] for part in (x, y))) for _ in range(4)]
    assert np.mean(found) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert np.std(found) == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("apart", [True, False])
def test_kid_on_subsets_is_about_kid_and_seeded(apart, monkeypatch):
    monkeypatch.setattr(KID, "_separate_is_cheaper", lambda n, d: apart)
    e = evidence(noisy(1.0))
    measure, found = kid(e), kid(e).detail["subsets"]
    assert found["number"] == NUM_SUBSETS and found["size"] == 300
    assert found["mean"] == pytest.approx(measure.value, abs=3 * found["sd"] / NUM_SUBSETS**0.5 + 0.02 * measure.value)
    assert kid(replace(e, seed=1)).detail["subsets"]["mean"] != found["mean"]


@pytest.mark.parametrize(("n", "d"), [(600, 12), (2500, 4), (2500, 100)])
def test_kid_is_one_with_subsets_summed_with_all_pairs_or_apart(n, d, monkeypatch):
    pair = between(rows(n, d, 0, 1.0, 0.0), rows(n, d, 1, 1.2, 0.0))
    found = []
    for apart in (True, False):
        monkeypatch.setattr(KID, "_separate_is_cheaper", lambda *_, answer=apart: answer)
        found.append(kid(pair))
    one, other = found
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-6)
    assert one.detail["subsets"] == pytest.approx(other.detail["subsets"], rel=1e-4)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, 30.0), (1e6, 0.0)])
def test_kid_of_float32_features_is_that_of_the_same_numbers_in_float64(scale, shift):
    """Also where their cubes do not fit into float32."""
    x, y = rows(700, 24, 0, scale, shift), rows(700, 24, 1, 1.1 * scale, shift)
    rough, exact = kid(between(x, y)), kid(between(x.double(), y.double()))
    assert rough.value == pytest.approx(exact.value, abs=1e-3 * (exact.high - exact.low))
    assert (rough.low, rough.high) == pytest.approx((exact.low, exact.high), abs=1e-3 * (exact.high - exact.low))


# --- c2st


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


# --- sharpness


def pictures(n=60, size=12, channels=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, size, size), generator=g, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_edges_are_those_of_scipy(channels):
    ndimage = pytest.importorskip("scipy.ndimage")
    some = pictures(channels=channels)
    theirs = [np.stack([ndimage.laplace(c.astype(float))[1:-1, 1:-1] for c in image]).var() for image in some.numpy()]
    np.testing.assert_allclose(laplacian_variance(some).numpy(), theirs, rtol=1e-6)


def sharp(made, test):
    made, test = drawn(made), drawn(test)
    return sharpness(MetricInputs(test, test, test, made, 0))


def test_sharpness_of_equal_laws_is_one_of_blur_less_and_of_contrast_its_square():
    test = pictures(seed=1)
    same = sharp(pictures(), test)
    assert same.low < 1 < same.high
    blurred = torch.nn.functional.avg_pool2d(pictures().float(), 3, 1, 1).round().to(torch.uint8)
    assert sharp(blurred, test).high < 0.2
    even = test // 2 * 2
    assert sharp(even // 2, even).value == pytest.approx(0.25)


def test_flat_images_have_no_edges_and_cannot_be_the_measure():
    flat = torch.full((60, 1, 12, 12), 7, dtype=torch.uint8)
    measure = sharp(flat, pictures())
    assert (measure.value, measure.low, measure.high) == (0, 0, 0)
    assert sharp(pictures(), flat).detail["reason"] == "the test images are flat"
    assert sharp(pictures(size=2), pictures(size=2)).detail["reason"].endswith("3 x 3 pixels, found 2 x 2")


# --- inception score and what is asked for


def test_a_judge_without_classes_gives_no_inception_score():
    e = evidence(real(400, 4))
    assert inception_score(e).value is not None
    assert inception_score(replace(e, has_class_names=False)).detail["reason"] == "the judge knows no classes"


def asked(made, test=None):
    e = evidence(made)
    test = e.test if test is None else test
    return replace(e, samples=labelled(made, made.predicted_classes), test=labelled(test, test.predicted_classes))


def test_the_spread_is_the_mean_distance_of_pairs_with_and_without_each_group():
    pdist = pytest.importorskip("scipy.spatial.distance").pdist
    x = rows(47, 5, 0).double()
    found = mean_pair_distances(x)
    assert len(found) == 21 and float(found[0]) == pytest.approx(pdist(x.numpy()).mean(), rel=1e-9)
    for g in range(20):
        kept = x[torch.arange(47) % 20 != g]
        assert float(found[1 + g]) == pytest.approx(pdist(kept.numpy()).mean(), rel=1e-9)


def test_one_to_many_is_one_for_equal_laws_and_nothing_for_one_image_a_class():
    e = asked(real(600, 4))
    found = one_to_many(e)
    assert found.low < 1 < found.high and found.detail["classes"] == CLASSES
    assert one_to_many(asked(view(CENTRES[torch.arange(600) % CLASSES]))).value == 0
    centred = e.generated.features - CENTRES[e.generated.predicted_classes]
    half = replace(
        e,
        samples=labelled(
            view(CENTRES[e.generated.predicted_classes] + centred / 2, e.generated.predicted_classes),
            e.generated.predicted_classes,
        ),
    )
    assert one_to_many(half).value == pytest.approx(found.value / 2, rel=1e-6)
    assert label_agreement(half).value == 1


def test_one_to_many_says_why_it_has_no_value():
    e = asked(real(60, 4))
    single = replace(e, samples=labelled(e.generated, torch.arange(60)))
    assert one_to_many(single).detail["reason"] == "needs 3 generated and test images of one class"
    alike = labelled(view(torch.ones(400, D), torch.zeros(400, dtype=torch.long)), torch.zeros(400, dtype=torch.long))
    assert "all alike" in one_to_many(replace(e, samples=alike[:60], test=alike)).detail["reason"]
    assert one_to_many(replace(e, test=real(400, 3))).detail["reason"] == "the test images have no labels"


# --- all of them


def test_what_they_declare_to_catch_they_catch():
    n, g = 359, torch.Generator().manual_seed(8)
    e = asked(real(n, 4))
    valid = labelled(e.valid, e.valid.predicted_classes)
    first = torch.stack([(valid.predicted_classes == c).nonzero()[0, 0] for c in range(CLASSES)])
    stored, noise = planted(n // 10, n), torch.randn(n, D, generator=g) * 0.3 + 12
    faults = {
        "real": valid[:n],
        "stored": labelled(stored, stored.predicted_classes),
        "collapse": valid[first[torch.randint(CLASSES, (n,), generator=g)]],
        "noise": labelled(view(noise, logits=0.1 * torch.randn(n, CLASSES, generator=g)), valid[:n].labels),
    }
    names = [*PRDC, "frechet", "kid", "c2st", "inception_score", "one_to_many", "label_agreement"]
    for name, measure in compute_metrics(replace(e, valid=valid, controls=faults), names).items():
        controls = measure.detail["controls"]
        assert set(controls) == set(get_metric(name).must_detect) and controls, name
        assert measure.failed_control is None, name


@pytest.mark.parametrize("name", ["precision", "recall", "density", "c2st", "sharpness", "one_to_many"])
def test_too_few_images_and_constant_ones_give_numbers_or_the_reason(name):
    few = asked(real(10, 4))
    assert "images of each kind, found 10" in get_metric(name)(few).detail["reason"]
    blind = labelled(view(torch.zeros(100, D), torch.zeros(100, dtype=torch.long)), torch.zeros(100, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = get_metric(name)(MetricInputs(blind, blind, blind, blind, 0))
    assert (found.value is None) == ("reason" in found.detail)


def test_the_jackknife_of_density_is_that_of_a_mean_over_pairs():
    x, y = rows(60, 3, 0, 1, 0.5), rows(60, 3, 1)
    held = inside(x, y, squared_radii(x), squared_radii(y))[1].double()
    without = [
        float(np.delete(np.delete(held.numpy(), np.r_[g], 0), np.r_[g], 1).mean()) * 60 / 5 for g in group_slices(60)
    ]
    found = density(between(x, y))
    assert (found.low, found.high) == pytest.approx(jackknife(float(held.mean()) * 60 / 5, without))
