"""The tests of memorisation against independent code, closed forms and planted copies."""

import importlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_metrics import evidence, noisy, real, view
from torch.nn import functional as F

from genlib.data.images import to_float
from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.metrics.authenticity import authenticity
from genlib.metrics.copies import MAX_HELD_OUT, CopyRadii, copies
from genlib.metrics.copying import average_cells, copying, mann_whitney_z
from genlib.metrics.fld import IsotropicMixture, fld, fld_gap, grouped_nll
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.membership_auc import membership_auc
from genlib.metrics.stats import neighbours
from genlib.metrics.stats import pixel_matching as registration
from genlib.metrics.stats.pixel_matching import aligned_distance
from genlib.registry import build

FLD = importlib.import_module("genlib.metrics.fld")
METRICS = ("authenticity", "copies", "copying", "fld", "fld_gap")


def blobs(n, seed, size=16, channels=1):
    """Smooth dark-edged random images, uint8, as unlike each other as digits of one class."""
    g = torch.Generator().manual_seed(seed)
    seeds = F.pad(torch.rand(n, channels, 5, 5, generator=g), (1, 1, 1, 1))
    x = F.interpolate(seeds, size=(size, size), mode="bicubic", align_corners=False)
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def seen(pixels, labels=None):
    """A view whose features are the coarse pixels, and whose judge tells two classes by the first of those."""
    features = F.adaptive_avg_pool2d(pixels.float() / 255, 4).flatten(1)
    classes = (features[:, 5] > 0.5).long()
    return FeatureSet(pixels, labels, features, F.one_hot(classes, 2).float())


def of_pixels(made, n=300):
    """Evidence of 600 training, and 400 valid and test images."""
    return MetricInputs(seen(blobs(600, 1)), seen(blobs(400, 2)), seen(blobs(400, 3)), seen(made[:n]), seed=0)


def moved(pixels, how):
    ndimage = pytest.importorskip("scipy.ndimage")
    change = {
        "exact": lambda x: x,
        "shifted": lambda x: ndimage.shift(x, (1, 0), order=0),
        "rotated": lambda x: ndimage.rotate(x, 5, reshape=False),
    }[how]
    found = [change(x.double().numpy()) for x in pixels[:, 0]]
    return torch.from_numpy(np.stack(found)).round().clamp(0, 255).to(torch.uint8)[:, None]


# --- registered distance


def test_without_rotations_it_is_the_best_correlation_over_shifts(monkeypatch):
    monkeypatch.setattr(registration, "DEGREES", (0,))
    monkeypatch.setattr(registration, "CANDIDATES_PER_DESCRIPTOR", 40)
    x, train = blobs(7, 1), blobs(40, 2)
    distance, star = aligned_distance(x, train)
    padded = np.pad(x[:, 0].numpy().astype(float), ((0, 0), (1, 1), (1, 1)), mode="edge")
    shifts = [padded[:, i : i + 16, j : j + 16].reshape(7, -1) for i in range(3) for j in range(3)]
    known = train.flatten(1).numpy().astype(float)
    corr = np.stack([np.corrcoef(shift, known)[:7, 7:] for shift in shifts]).max(0)
    np.testing.assert_allclose(distance, 1 - corr.max(1), atol=1e-5)
    np.testing.assert_array_equal(star, corr.argmax(1))


@pytest.mark.parametrize("how", ["exact", "shifted", "rotated"])
def test_a_moved_copy_is_near_its_original_and_a_new_image_is_not(how):
    train = blobs(600, 1)
    distance, star = aligned_distance(moved(train[100:200], how), train)
    assert (star == torch.arange(100, 200)).double().mean() >= 0.97
    assert distance.quantile(0.95) < aligned_distance(blobs(200, 2), train)[0].min() / 2


def test_brightness_and_contrast_do_not_count():
    train = blobs(100, 1)
    pale = (train[:20].float() * 0.5 + 60).round().to(torch.uint8)
    distance, star = aligned_distance(pale, train)
    assert distance.max() < 1e-3 and (star == torch.arange(20)).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 12), (1, 2, 2)])
def test_any_shape_will_do_and_the_chunk_does_not_matter(shape, monkeypatch):
    g = torch.Generator().manual_seed(0)
    x, train = (torch.randint(256, (n, *shape), generator=g, dtype=torch.uint8) for n in (50, 70))
    whole = aligned_distance(x, train)
    monkeypatch.setattr(registration, "CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(registration, "CHUNK_SIZE", 7)
    parts = aligned_distance(x, train)
    torch.testing.assert_close(whole[0], parts[0], rtol=0, atol=1e-6)
    assert (whole[0] >= 0).all() and (whole[0] <= 2).all()


def test_images_of_one_colour_are_near_nothing():
    flat, train = torch.full((5, 1, 16, 16), 7, dtype=torch.uint8), blobs(50, 1)
    assert aligned_distance(flat, train)[0].min() > 0.999 and aligned_distance(train, flat)[0].min() > 0.999


# --- copies


@pytest.mark.parametrize("how", ["exact", "shifted", "rotated"])
def test_copies_are_counted_even_if_moved(how):
    train = blobs(600, 1)
    whole = copies(of_pixels(moved(train[:300], how)))
    expected = whole.detail["expected"] / 300
    assert whole.value == pytest.approx(1 - expected, abs=0.03) and whole.low > 0.9
    few = copies(of_pixels(torch.cat([moved(train[:30], how), blobs(270, 9)])))
    assert few.low > 0.03 and few.value == pytest.approx(0.1, abs=0.03)
    rows, originals = zip(*few.detail["nearest"], strict=True)
    assert sum(row == original for row, original in zip(rows, originals, strict=True)) >= 18


def test_real_images_get_about_zero_and_their_intervals_hold_it():
    found = [copies(of_pixels(blobs(300, 20 + seed))) for seed in range(10)]
    assert abs(np.mean([m.value for m in found])) < 0.01
    assert sum(m.low <= 0 <= m.high for m in found) >= 8


def test_the_chance_of_a_real_image_is_exact():
    beta = pytest.importorskip("scipy.stats").beta
    rng, held = np.random.default_rng(0), torch.tensor([0] * 40 + [2] * 350)
    radii = [CopyRadii.from_held_out(torch.from_numpy(rng.random(390)), held, 3) for _ in range(2000)]
    for c, j, m in ((0, 1, 40), (2, 3, 350)):
        law = beta(j, m + 1 - j)
        assert float(radii[0].chance[c]) == pytest.approx(law.mean())
        assert float(radii[0].variance[c]) == pytest.approx(law.var())
        assert np.mean([float(r.radius[c]) for r in radii]) == pytest.approx(law.mean(), rel=0.07)
    assert (radii[0].radius[1], radii[0].chance[1], radii[0].variance[1]) == (0, 0, 0)


def test_a_kind_that_no_held_out_image_has_is_never_a_copy():
    e = of_pixels(blobs(600, 1))
    kept = (e.test.predicted_classes == 0).nonzero()[:, 0]
    measure = copies(replace(e, test=e.test[kept]))
    assert measure.detail["threshold"]["1"] == 0 and measure.detail["count"] == int(
        (e.generated.predicted_classes == 0).sum()
    )


def test_without_classes_cells_take_their_place():
    e = replace(of_pixels(blobs(600, 1)), has_class_names=False)
    measure = copies(e)
    assert len(measure.detail["threshold"]) > 2 and measure.low > 0.85
    assert copies(replace(e, samples=seen(blobs(300, 9)))).high < 0.1


def test_a_fresh_image_is_judged_by_the_same_radii_whoever_asks():
    e = of_pixels(blobs(300, 9))
    assert copies(e).detail["threshold"].items() <= copies(e.with_real_samples()).detail["threshold"].items()
    assert copies(e).detail["held_out"] == 400 <= MAX_HELD_OUT


# --- copying


@pytest.mark.parametrize(("n", "m", "ties"), [(50, 70, False), (200, 30, True), (25, 400, True)])
def test_z_is_that_of_scipy(n, m, ties):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n) + 0.3, rng.normal(size=m)
    if ties:
        x, y = x.round(1), y.round(1)
    theirs = stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
    size = stats.norm.isf(theirs.pvalue / 2)
    value, low, high = mann_whitney_z(torch.from_numpy(x), torch.from_numpy(y))
    assert value == pytest.approx(math.copysign(size, theirs.statistic - n * m / 2), rel=1e-9)
    assert low < value < high
    assert mann_whitney_z(torch.ones(n), torch.ones(m)) == (0, 0, 0)


def test_z_is_the_difference_of_two_standard_normals_under_equal_laws():
    rng = np.random.default_rng(0)
    found = [mann_whitney_z(*(torch.from_numpy(rng.normal(size=60)) for _ in range(2))) for _ in range(500)]
    assert np.std([z for z, _, _ in found]) == pytest.approx(1, abs=0.1)
    assert 0.92 <= np.mean([low <= 0 <= high for _, low, high in found]) <= 0.975


def test_cells_weigh_as_much_as_their_test_images():
    rows = [{"real": 30, "z": -1.0, "low": -2.0, "high": 1.0}, {"real": 10, "z": 3.0, "low": 2.0, "high": 5.0}]
    value, low, high = average_cells(rows)
    assert (value, low) == (0, pytest.approx(-math.hypot(0.75, 0.25)))
    assert high == pytest.approx(math.hypot(1.5, 0.5))


def test_copies_lie_below_and_noise_above():
    e = evidence(real(400, 4))
    same = [copying(evidence(real(400, 30 + seed))) for seed in range(8)]
    assert abs(np.mean([m.value for m in same])) < 1 and sum(m.low <= 0 <= m.high for m in same) >= 5
    jittered = view(e.train.features[:400] + 0.3 * torch.randn(400, 12, generator=torch.Generator().manual_seed(1)))
    assert copying(replace(e, samples=e.train[torch.arange(400)])).high < -8
    assert copying(replace(e, samples=jittered)).high < min(m.low for m in same)
    assert copying(evidence(noisy(2.0))).low > 5
    assert [row["made"] for row in copying(e).detail["compared"]] and copying(e).detail["cells"] == 4


def test_cells_without_both_kinds_are_left_out_and_none_is_a_reason():
    apart = torch.cat([torch.zeros(100, 12), torch.full((100, 12), 50.0)]) + real(200, 1).features / 100
    one, two = view(apart[:100]), view(apart[100:])
    e = MetricInputs(view(apart), one, view(one.features.repeat(2, 1)), view(two.features.repeat(2, 1)), 0)
    assert "no cell holds more than 20 generated images" in copying(e).detail["reason"]


# --- feature likelihood divergence


def some_mixture():
    g = torch.Generator().manual_seed(0)
    x, made = (torch.randn(n, 3, generator=g, dtype=torch.float64) for n in (200, 45))
    return IsotropicMixture.fit(made, x), made, x


def test_the_density_is_that_of_the_mixture_in_scipy():
    stats = pytest.importorskip("scipy.stats")
    mixture, made, x = some_mixture()
    laws = [
        stats.multivariate_normal(centre, v)
        for centre, v in zip(
            torch.cat([torch.zeros(1, 3), made]).numpy(), mixture.log_variance.double().exp(), strict=True
        )
    ]
    density = np.mean([law.pdf(x.numpy()) for law in laws], 0)
    grouped = grouped_nll(mixture, x)
    assert grouped[0] == pytest.approx(-np.log(density).mean() / 3, rel=1e-5)
    rows, left = np.delete(np.arange(200), np.r_[30:40]), np.delete(np.arange(46), np.r_[7:10])
    density = np.mean([laws[j].pdf(x.numpy()[rows]) for j in left], 0)
    assert grouped[1 + 3] == pytest.approx(-np.log(density).mean() / 3, rel=1e-5)


def test_the_variances_are_those_that_autograd_finds():
    mixture, made, x = some_mixture()
    centres, log_v = torch.cat([torch.zeros(1, 3), made]), torch.zeros(46, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([log_v], lr=0.5)
    for _ in range(50):
        adam.zero_grad()
        terms = -torch.cdist(x, centres).square() / (2 * log_v.exp()) - 1.5 * log_v
        (-terms.logsumexp(1).mean()).backward()
        adam.step()
    torch.testing.assert_close(mixture.log_variance.double(), log_v.detach(), rtol=1e-3, atol=1e-3)


def test_copies_open_a_gap_and_equal_laws_do_not():
    e = evidence(real(500, 4), train=1000)
    copied = replace(e, samples=e.train[torch.arange(500)])
    assert fld_gap(copied).high < -50 < -20 < fld_gap(e).value < 5
    assert abs(fld(e).value) < 5 < fld(copied).value
    assert fld(evidence(noisy(2.0), train=1000)).low > 20
    assert fld(e).low <= fld(e.with_real_samples()).value <= fld(e).high


def test_a_part_of_the_copies_opens_a_part_of_the_gap():
    e = evidence(real(500, 4), train=1000)
    mixed = [torch.cat([e.train.features[:k], e.generated.features[k:]]) for k in (0, 50, 200)]
    gaps = [fld_gap(replace(e, samples=view(features))).value for features in mixed]
    assert gaps[0] > gaps[1] > gaps[2]


def test_too_few_training_images_have_no_likelihood():
    e = evidence(real(100, 4))
    assert fld(replace(e, train=e.train[:39])).detail["reason"] == "needs at least 40 training images, found 39"


def test_large_sets_are_cut(monkeypatch):
    monkeypatch.setattr(FLD, "MAX_FIT_IMAGES", 120)
    monkeypatch.setattr(FLD, "MAX_CENTRES", 50)
    detail = fld(evidence(real(300, 4))).detail
    assert (detail["train"], detail["test"], detail["centres"]) == (120, 120, 50)


# --- membership


def of_model(model, labels=True):
    parts = [blobs(n, seed) for seed, n in enumerate((60, 40, 50))]
    rows = [torch.arange(len(part)) % 3 if labels else None for part in parts]
    views = [seen(part, row) for part, row in zip(parts, rows, strict=True)]
    return MetricInputs(*views, samples=None, seed=0, model=model)


def given(logits_of):
    model = torch.nn.Module()
    model.discriminator, model.pack, model.conditional = logits_of, 1, False
    return model


class Knows(torch.nn.Module):
    """Gives 1 to the images of `known`, and 0 to others."""

    def __init__(self, known):
        super().__init__()
        self.known = torch.nn.Parameter(known.flatten(1))

    def forward(self, x):
        equal = x.flatten(1)[:, None] == self.known
        return equal.all(2).any(1, keepdim=True).float()


def test_a_discriminator_that_knows_its_training_images_gives_them_away():
    e = of_model(None)
    known = to_float(e.train.pixels)
    measure = membership_auc(replace(e, model=given(Knows(known))))
    assert (measure.value, measure.high, measure.n) == (1, 1, 90)
    half = membership_auc(replace(e, model=given(Knows(known[:30]))))
    assert half.value == pytest.approx(0.75) and half.low > 0.6
    assert membership_auc(replace(e, model=given(Knows(known + 9)))).value == 0.5
    assert measure.detail["train"] == {"images": 60, "mean": 1} and measure.detail["held_out"]["mean"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"name": "gan"},
        {"name": "gan", "pack": 2, "head": "softmax", "spectral_norm": True},
        {"name": "cgan", "condition": "projection"},
        {"name": "cgan", "condition": "concat", "head": "softmax"},
    ],
)
def test_the_area_is_that_of_scikit_learn_on_the_discriminators_own_logits(options, monkeypatch):
    metrics = pytest.importorskip("sklearn.metrics")
    torch.manual_seed(0)
    model = build("models", {"latent": 4, "width": 4, "width_d": 4, **options}, (1, 16, 16), 3).train()
    e = of_model(model)
    x = torch.cat([e.train.pixels, e.valid.pixels, e.test.pixels])
    y = torch.cat([e.train.labels, e.valid.labels, e.test.labels])
    measure = membership_auc(e)
    assert model.training and model.discriminator.training
    model.eval()
    told = (y,) if model.conditional else ()
    with torch.no_grad():
        logits = model.discriminator(torch.cat([to_float(x)] * model.pack, 1), *told)[:, 0]
    theirs = metrics.roc_auc_score(torch.arange(150) < 60, logits)
    assert measure.value == pytest.approx(theirs, abs=2e-3) and measure.low < theirs < measure.high
    monkeypatch.setattr("genlib.models.layers.sampling.CHUNK_SIZE", 7)
    assert membership_auc(e).value == pytest.approx(measure.value, abs=2e-3)


def test_who_cannot_be_asked_gets_the_reason():
    model = given(Knows(torch.zeros(1, 256)))
    model.conditional = True
    e = of_model(model, labels=False)
    assert membership_auc(e).detail["reason"] == "the discriminator is told the class, and there are no labels"
    assert membership_auc(replace(e, model=None)).detail["reason"] == "this model has no discriminator"
    alone = replace(of_model(given(Knows(torch.zeros(1, 256)))), train=e.train[:1])
    assert "needs at least 2 training and held-out images, found 1 and 90" in membership_auc(alone).detail["reason"]


# --- all of them


def test_all_that_look_at_copies_catch_the_planted_ones():
    e = of_pixels(blobs(300, 9))
    e = replace(e, controls={"real": e.valid[:300], "copies": e.train[torch.arange(300)]})
    for name in ("authenticity", "copies", "copying", "fld_gap"):
        found = compute_metrics(e, [name])[name]
        assert found.failed_control is None and set(found.detail["controls"]) == {"copies"}


def test_few_images_give_the_reason():
    found = compute_metrics(of_pixels(blobs(300, 9), n=15), METRICS)
    for name, least in zip(METRICS, (20, 20, 40, 40, 40), strict=True):
        assert found[name].detail["reason"] == f"needs at least {least} images of each kind, found 15"
    e = of_pixels(blobs(300, 9))
    bare = compute_metrics(replace(e, train=e.train[:0]), METRICS)
    assert all("training images, found" in measure.detail["reason"] for measure in bare.values())


@pytest.mark.parametrize("fault", ["constant", "all constant", "twice", "huge"])
def test_odd_images_still_give_plain_finite_json(fault):
    e = of_pixels(blobs(300, 9))
    flat = seen(torch.full((400, 1, 16, 16), 7, dtype=torch.uint8))
    odd = {
        "constant": replace(e, samples=flat[:300]),
        "all constant": MetricInputs(flat, flat, flat, flat[:300], 0),
        "twice": replace(e, train=seen(e.train.pixels.repeat(2, 1, 1, 1))),
        "huge": replace(e, samples=replace(e.generated, features=e.generated.features * 1e15)),
    }[fault]
    found = compute_metrics(odd, METRICS)
    json.dumps(report_to_json(found, {}), allow_nan=False)
    assert all(measure.value is not None for measure in found.values())
    if fault == "twice":
        assert found["copies"].value == copies(e).value


@pytest.mark.parametrize("metric", [authenticity, copying, fld_gap])
def test_the_chunk_of_neighbours_does_not_matter(metric, monkeypatch):
    e = evidence(noisy(0.5))
    whole = metric(e)
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", 5000)
    assert metric(e).value == pytest.approx(whole.value, rel=1e-9)
