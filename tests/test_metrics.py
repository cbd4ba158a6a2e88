"""The metrics against independent code, closed forms and planted truths."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from genlib.errors import InputError
from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.metrics.authenticity import authenticity, nearest_training
from genlib.metrics.conditional import label_agreement
from genlib.metrics.frechet import frechet
from genlib.metrics.inception_score import inception_score
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.kid import kid
from genlib.metrics.precision_recall import coverage
from genlib.metrics.registry import check_metric_names, get_metric, metric, metric_names, model_capabilities
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import group_slices, jackknife, mean_interval, t_quantile, wilson
from genlib.metrics.support import simpson_estimate, support

CLASSES, D = 10, 12
CENTRES = torch.randn(CLASSES, D, generator=torch.Generator().manual_seed(9)) * 4
SAMPLE_METRICS = ("authenticity", "coverage", "frechet", "inception_score", "kid", "support")


def view(features, classes=None, logits=None):
    """A view with these features; the judge is nearly sure of `classes`, by default the nearest centre."""
    n = len(features)
    if logits is None:
        classes = torch.cdist(features.double(), CENTRES.double()).argmin(1) if classes is None else classes
        logits = torch.nn.functional.one_hot(classes, CLASSES).double() * 8
    return FeatureSet(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), None, features, logits.softmax(1))


def real(n, seed):
    """n draws of a mixture of ten Gaussians."""
    g = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, CLASSES, (n,), generator=g)
    return view(CENTRES[classes] + torch.randn(n, D, generator=g))


def evidence(fake, n=None, train=2000):
    n = len(fake) if n is None else n
    return MetricInputs(real(train, 1), real(max(n, 400), 2), real(max(n, 400), 3), fake, seed=0)


def planted(k, n, jitter=1e-4, seed=5):
    g = torch.Generator().manual_seed(seed)
    stored = real(k, seed).features
    return view(stored[torch.randint(0, k, (n,), generator=g)] + jitter * torch.randn(n, D, generator=g))


def noisy(amount, n=600):
    x = real(n, 4).features
    return view(x + amount * torch.randn(n, D, generator=torch.Generator().manual_seed(6)))


# --- against independent code


def frechet_by_scipy(x, y):
    linalg = pytest.importorskip("scipy.linalg")
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(s1 @ s2).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * root))


@pytest.mark.parametrize("amount", [0.0, 0.5, 3.0])
def test_frechet_agrees_with_scipy_and_torch_fidelity(amount):
    e = evidence(noisy(amount))
    x, y = e.generated.features.double(), e.real.features.double()
    value = frechet(e).value
    assert value == pytest.approx(frechet_by_scipy(x.numpy(), y.numpy()), rel=1e-6)
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    one, two = metric_fid.fid_features_to_statistics(x), metric_fid.fid_features_to_statistics(y)
    theirs = metric_fid.fid_statistics_to_metric(one, two, verbose=False)["frechet_inception_distance"]
    assert value == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("n", [400, 437])
def test_kid_agrees_with_torch_fidelity(n):
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    e = evidence(noisy(0.5, n), n=n)
    e = replace(e, test=e.test[:n])
    options = {"kid_subsets": 1, "kid_subset_size": n, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0, "rng_seed": 0, "verbose": False}
    x, y = e.generated.features.double(), e.real.features.double()
    theirs = metric_kid.kid_features_to_metric(x, y, **options)["kernel_inception_distance_mean"]
    assert kid(e).value == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("n", [400, 437])
@pytest.mark.filterwarnings("ignore:Metric .Kernel Inception Distance. will save:UserWarning")
def test_kid_agrees_with_torchmetrics(n):
    torchmetrics = pytest.importorskip("torchmetrics.image.kid")
    e = evidence(noisy(0.5, n), n=n)
    e = replace(e, test=e.test[:n])
    theirs = torchmetrics.KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=n)
    theirs.update(e.generated.features.double(), real=False)
    theirs.update(e.real.features.double(), real=True)
    assert kid(e).value == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_inception_score_agrees_with_torch_fidelity():
    metric_isc = pytest.importorskip("torch_fidelity.metric_isc")
    logits = torch.randn(537, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    theirs = metric_isc.isc_features_to_metric(logits, splits=10, shuffle=False)["inception_score_mean"]
    assert inception_score(evidence(view(torch.zeros(537, D), logits=logits))).value == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("amount", [0.0, 1.0, 4.0])
def test_coverage_is_exactly_that_of_prdc(amount, capsys):
    prdc = pytest.importorskip("prdc")
    e = evidence(noisy(amount))
    theirs = prdc.compute_prdc(e.real.features.numpy(), e.generated.features.numpy(), nearest_k=5)
    assert coverage(e).value == theirs["coverage"]


def test_the_t_quantile_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (5, 9, 19, 49, 1000):
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


# --- closed forms


def test_inception_score_reaches_the_number_of_classes_and_factors():
    sure = torch.eye(CLASSES, dtype=torch.float64).repeat(50, 1) * 1e3
    measure = inception_score(evidence(view(torch.zeros(500, D), logits=sure)))
    assert measure.value == pytest.approx(10) and measure.detail["whole"] == pytest.approx(10)
    unsure = inception_score(evidence(view(torch.zeros(500, D), logits=torch.zeros(500, CLASSES))))
    assert unsure.value == pytest.approx(1) and unsure.detail["variety"] == pytest.approx(10)
    assert unsure.detail["confidence"] == pytest.approx(0.1)


def test_frechet_of_shifted_and_scaled_copies_is_known():
    e = evidence(real(600, 4))
    x = e.real.features.double()
    shifted = frechet(replace(e, samples=view(x + 2.0))).value
    assert shifted == pytest.approx(4 * D, rel=1e-9)
    scaled = frechet(replace(e, samples=view((x - x.mean(0)) * 3 + x.mean(0)))).value
    assert scaled == pytest.approx(4 * float(x.var(0).sum()), rel=1e-9)
    assert frechet(replace(e, samples=view(x))).value == pytest.approx(0, abs=1e-9)


def test_kid_of_equal_laws_is_about_zero_and_may_be_negative():
    values = [kid(replace(evidence(real(400, 10 + s)), test=real(400, 50 + s))) for s in range(12)]
    assert min(m.value for m in values) < 0 < max(m.value for m in values)
    assert sum(m.low <= 0 <= m.high for m in values) >= 9


def test_wilson_stays_inside_and_is_the_textbook_value():
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1
    assert wilson(15, 20) == pytest.approx((0.531299, 0.888138), abs=1e-5)


def test_the_jackknife_of_a_mean_is_its_t_interval():
    x = np.random.default_rng(0).normal(size=200)
    groups = group_slices(len(x))
    without = [float(np.delete(x, np.r_[g]).mean()) for g in groups]
    assert jackknife(float(x.mean()), without) == pytest.approx(mean_interval([float(x[g].mean()) for g in groups]))


# --- planted truths


@pytest.mark.parametrize("n", [359, 2000])
def test_support_returns_the_number_of_stored_images(n):
    for k in (20, 100):
        measure = support(evidence(planted(k, n)))
        assert measure.value == pytest.approx(k, rel=0.12)
        assert measure.high < evidence(planted(k, n)).n * 20
    assert support(evidence(planted(1, n))).value == pytest.approx(1)


def test_real_images_do_not_look_collapsed():
    found = compute_metrics(evidence(real(359, 4)), ["support"])["support"]
    limit = 359 * 358 / 2 / 50
    assert limit / 2 < found.value < limit * 2 and limit / 2 < found.null < limit * 2
    assert found.detail["null"]["ratio"] == pytest.approx(found.value / found.null)


def test_support_without_a_collision_is_a_bound():
    spread = view(torch.arange(300.0)[:, None].expand(300, D) * 1e3, classes=torch.arange(300) % CLASSES)
    measure = support(evidence(spread))
    assert measure.detail["more_than"] and measure.high is None
    assert measure.value == measure.low == pytest.approx(300**2 / 22.5, rel=1e-3)


def test_support_of_a_class_that_real_images_lack_still_collapses():
    e = evidence(view(torch.full((200, D), 50.0), classes=torch.full((200,), 9)))
    kept = e.test.predicted_classes != 9
    assert support(replace(e, test=e.test[kept.nonzero().squeeze(1)])).value == pytest.approx(1)


def test_closest_pairs_are_the_closest():
    fake = real(300, 4)
    features = fake.features.clone()
    features[17], features[255] = features[3], features[200] + 1e-6
    pairs = support(evidence(view(features))).detail["closest_pairs"]
    assert sorted(pairs[:2]) == [[3, 17], [200, 255]]


@pytest.mark.parametrize("k", [100, 1000])
@pytest.mark.parametrize("law", ["uniform", "zipf", "spike"])
def test_the_interval_of_support_covers_the_truth(k, law):
    rng = np.random.default_rng(k)
    p = {"uniform": np.ones(k), "zipf": 1 / np.arange(1, k + 1), "spike": np.r_[k / 9, np.ones(k - 1)]}[law]
    p = p / p.sum()
    covered = 0
    for _ in range(200):
        x = rng.choice(k, 400, p=p)
        partners = torch.from_numpy(np.bincount(x, minlength=k)[x] - 1)
        _, low, high = simpson_estimate(partners)
        covered += low <= 1 / (p**2).sum() <= high
    assert 0.88 <= covered / 200 <= 0.995


def test_copies_are_not_authentic_and_real_images_score_as_their_null():
    e = evidence(real(400, 4))
    copies = e.train[torch.arange(400)]
    assert authenticity(replace(e, samples=copies)).value == 0
    assert authenticity(replace(e, samples=view(copies.features + 1e-3))).value < 0.01
    found = compute_metrics(e, ["authenticity"])["authenticity"]
    assert 0.45 < found.null < 0.7 and abs(found.value - found.null) < 0.12


def test_closeness_is_what_it_says():
    train = torch.tensor([[0.0] * D, [3.0] + [0.0] * (D - 1), [10.0] + [0.0] * (D - 1)])
    made = torch.tensor([[1.0] + [0.0] * (D - 1), [8.0] + [0.0] * (D - 1)])
    close = nearest_training(MetricInputs(view(train), view(train), view(train), view(made), 0))
    assert close.index.tolist() == [0, 2]
    assert close.distance.tolist() == [1, 2] and close.spacing.tolist() == [3, 7]


def test_coverage_of_equal_laws_is_about_097():
    assert coverage(evidence(real(2000, 4))).value == pytest.approx(1 - 2**-5, abs=0.015)


def test_more_noise_is_worse():
    steps = [
        compute_metrics(evidence(noisy(amount)), ["frechet", "kid", "coverage"]) for amount in (0.0, 0.7, 1.5, 4.0)
    ]
    for one, two in pairwise(steps):
        assert one["frechet"].value < two["frechet"].value
        assert one["kid"].value < two["kid"].value
        assert one["coverage"].value > two["coverage"].value


@pytest.mark.parametrize("name", ["authenticity", "coverage", "frechet", "kid", "support"])
def test_the_order_of_images_does_not_matter(name):
    e = evidence(noisy(0.5))
    order = torch.randperm(e.n, generator=torch.Generator().manual_seed(0))
    assert get_metric(name)(replace(e, samples=e.generated[order])).value == pytest.approx(
        get_metric(name)(e).value, rel=1e-7
    )


def test_label_agreement_counts_what_the_judge_sees_and_its_null_is_the_judges_accuracy():
    e = evidence(real(400, 4))
    asked = e.generated.predicted_classes.clone()
    asked[:100] = (asked[:100] + 1) % CLASSES
    held = replace(e.valid, labels=(e.valid.predicted_classes + (torch.arange(len(e.valid)) < 40)) % CLASSES)
    found = compute_metrics(replace(e, samples=replace(e.generated, labels=asked), valid=held), ["label_agreement"])[
        "label_agreement"
    ]
    assert found.value == 0.75 and (found.low, found.high) == wilson(300, 400)
    assert found.null == 0.9 and found.n == 400
    assert label_agreement(e).detail["reason"] == "this model was not asked for classes"


# --- what cannot be measured


def test_too_few_images_give_none_and_the_reason_and_the_others_are_given():
    found = compute_metrics(evidence(real(50, 4)), SAMPLE_METRICS)
    assert found["inception_score"].value is None and found["inception_score"].null is None
    assert found["support"].detail["reason"] == "needs at least 100 images of each kind, found 50"
    assert found["coverage"].value is not None and found["coverage"].null is not None
    wide = MetricInputs(*[view(torch.randn(60, 80), torch.zeros(60, dtype=torch.long)) for _ in range(4)], seed=0)
    assert "80 features, found 60" in frechet(wide).detail["reason"]


def test_features_that_are_not_finite_give_the_reason():
    features = real(200, 4).features.clone()
    features[7, 0], features[8, 1] = torch.nan, torch.inf
    found = compute_metrics(evidence(view(features, torch.zeros(200, dtype=torch.long))), SAMPLE_METRICS)
    for measure in found.values():
        assert measure.value is None and "features of 2 of 200 generated images" in measure.detail["reason"]
        assert measure.null is not None


@pytest.mark.parametrize("fake", ["constant", "huge", "one class", "copies"])
def test_degenerate_images_still_give_plain_finite_json(fake):
    e = evidence(real(200, 4))
    made = {
        "constant": view(torch.ones(200, D)),
        "huge": view(e.generated.features * 1e30),
        "one class": view(e.generated.features, torch.zeros(200, dtype=torch.long)),
        "copies": e.train[:200],
    }[fake]
    text = json.dumps(
        report_to_json(compute_metrics(replace(e, samples=made), SAMPLE_METRICS), {"seed": 0}), allow_nan=False
    )
    assert set(json.loads(text)["metrics"]["kid"]) == {"value", "low", "high", "null", "n", "detail"}


def test_a_constant_judge_gives_measures():
    blind = view(torch.zeros(300, D), torch.zeros(300, dtype=torch.long))
    found = compute_metrics(MetricInputs(blind, blind, blind, blind, 0), SAMPLE_METRICS)
    assert found["coverage"].value == 0 and found["support"].value == pytest.approx(1)


def test_a_measure_holds_plain_finite_numbers_only():
    with pytest.raises(UndefinedMetric, match="the value came out as nan"):
        MetricResult(float("nan"))
    with pytest.raises(UndefinedMetric, match=r"detail.share came out as inf"):
        MetricResult(1.0, detail={"share": torch.tensor([1.0, torch.inf])})
    measure = MetricResult(torch.tensor(1.5), np.float32(1), n=np.int64(3), detail={"a": (torch.tensor(2),)})
    assert (type(measure.value), type(measure.low), type(measure.n)) == (float, float, int)
    assert measure.detail == {"a": [2]}
    overflow = metric()(lambda inputs: MetricResult(float("inf")))
    assert overflow(evidence(real(60, 4))).detail["reason"] == "the value came out as inf"


def test_a_model_without_images_gets_reasons():
    found = compute_metrics(replace(evidence(real(50, 4)), samples=None), SAMPLE_METRICS)
    assert {measure.detail["reason"] for measure in found.values()} == {"this model makes no images"}


@pytest.mark.parametrize(
    ("methods", "can"),
    [
        ({}, set()),
        ({"sample": 1}, {"samples"}),
        ({"features": 1, "head": 1}, {"classifies"}),
        ({"log_weights": 1, "encode_mean": 1, "sample": 1}, {"likelihood", "encodes", "samples"}),
        ({"log_weights": 1, "conditional": True}, {"likelihood", "conditional"}),
        ({"log_weights": 1, "conditional": False}, {"likelihood"}),
        ({"sample": 1, "conditional": True}, {"samples"}),
        ({"translate": 1}, {"translates"}),
    ],
)
def test_what_a_model_can_do_is_told_by_its_methods(methods, can):
    model = type("Some", (), methods)()
    assert model_capabilities(model) == can and model_capabilities(None) == frozenset()
    for need in {"classifies", "likelihood", "conditional", "encodes", "translates"} - can:
        found = metric(needs=need)(lambda inputs: MetricResult(1.0))(replace(evidence(real(60, 4)), model=model))
        assert found.value is None and found.detail["reason"].startswith("this model ")


# --- the registry


def test_unknown_names_get_the_legal_ones_and_the_closest():
    with pytest.raises(InputError, match=r"evaluate.metrics: got 'frechett' \(did you mean frechet\?\), expected acc"):
        check_metric_names(["kid", "frechett"])
    with pytest.raises(InputError, match=r"tune.metric: got 'xyz', expected "):
        check_metric_names(["xyz"], where="tune.metric")


def test_every_metric_is_found_under_its_own_name():
    assert {*SAMPLE_METRICS, "accuracy"} <= set(metric_names())
    for name in metric_names():
        assert get_metric(name).compute.__name__ == name and get_metric(name).summary


def test_names_need_no_torch():
    code = "import sys; from genlib.metrics.registry import metric_names; assert metric_names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
