"""The three verdicts say what was planted: in numbers written by hand, and in real digits before the real metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from genlib.data.images import Images
from genlib.evaluation import baselines, faults
from genlib.evaluation.calibration import Calibration, calibrate
from genlib.evaluation.controls import add_controls
from genlib.evaluation.faults import FAULTS, SHARES
from genlib.evaluation.runner import compute_metrics
from genlib.evaluation.verdicts import LEVEL, MARGIN, MIN_METRICS, Verdict, compute_verdicts, detectable_shares
from genlib.metrics.inputs import MetricInputs, build_inputs, extract_features
from genlib.metrics.registry import (
    DIVERSE,
    ORIGINAL,
    QUESTIONS,
    REALISTIC,
    VERDICT_QUESTIONS,
    get_metric,
    group_by_question,
    metric_names,
    metrics_of_question,
    question_of,
    split_direction,
)
from genlib.metrics.result import MetricResult

ASKED = (REALISTIC, ORIGINAL, DIVERSE)
NULLS = {
    "precision": 0.9,
    "density": 1.0,
    "c2st": 0.5,
    "inception_score": 9.0,
    "frechet": 0.2,
    "kid": 0.0,
    "fld": 0.0,
    "sharpness": 1.0,
    "residual_auc": 0.5,
    "copies": 0.0,
    "authenticity": 0.6,
    "copying": 0.0,
    "fld_gap": 0.0,
    "support": 1300.0,
    "vendi": 8.0,
    "coverage": 0.96,
    "recall": 0.9,
    "modes": 10.0,
    "mode_kl": 0.01,
    "ndb": 2.0,
}
FAMILIES = {  # the metrics that find a fault, and the three answers
    "perfect": ((), ("yes", "yes", "yes")),
    "noisy": (("precision", "frechet", "sharpness"), ("no", "yes", "yes")),
    "collapsed": (("support", "vendi", "coverage", "c2st", "frechet"), ("no", "yes", "no")),
    "copying": (("copies", "authenticity"), ("yes", "no", "yes")),
}


def finds(metrics, p=1e-6) -> dict[str, dict[str, torch.Tensor]]:
    """Planted faults that all of `metrics` find from the smallest share on."""
    return {fault: {name: torch.full((len(SHARES), 8), p, dtype=torch.float64) for name in metrics} for fault in FAULTS}


def measured(metric: str, p: float = 0.5, **detail) -> MetricResult:
    null = NULLS[metric]
    return MetricResult(null, null - 0.1, null + 0.1, null, 359, {"null": {"p": p}, **detail})


def made(faulty=()) -> dict[str, MetricResult]:
    return {metric: measured(metric, 1e-6 if metric in faulty else 0.5) for metric in NULLS}


def judge(measures, planted=None) -> dict[str, Verdict]:
    planted = finds(NULLS) if planted is None else planted
    return {each.question: each for each in compute_verdicts(measures, {"": planted, "_a2b": planted, "_b2a": planted})}


def answers(measures) -> tuple[str, ...]:
    return tuple(each.answer for each in judge(measures).values())


@pytest.mark.parametrize("family", FAMILIES)
def test_verdicts_say_what_was_planted(family):
    faulty, expected = FAMILIES[family]
    assert answers(made(faulty)) == expected


def test_every_deciding_metric_answers_the_question_it_is_filed_under():
    for question in VERDICT_QUESTIONS:
        assert {question_of(metric) for metric in metrics_of_question(question)} == {question}
    assert NULLS.keys() == {name for question in VERDICT_QUESTIONS for name in metrics_of_question(question)}


@pytest.mark.parametrize("metric", sorted(NULLS))
def test_one_metric_alone_says_no_and_never_yes(metric):
    """A single metric is too few to say that nothing is wrong, however sure."""
    asked = question_of(metric)
    assert judge({metric: measured(metric, LEVEL / 2)})[asked].answer == "no"
    assert judge({metric: measured(metric, LEVEL * 2)})[asked].answer == "cannot tell"


@pytest.mark.parametrize("question", ASKED)
def test_the_level_is_shared_among_the_metrics_that_are_heard(question):
    """Holm: the smallest of m p-values counts m times; metrics that are not heard cost nothing."""
    heard = list(metrics_of_question(question))
    measures = {name: measured(name) for name in heard}
    just, barely = 0.99 * LEVEL / len(heard), 1.01 * LEVEL / len(heard)
    assert judge(measures | {heard[0]: measured(heard[0], just)})[question].answer == "no"
    assert judge(measures | {heard[0]: measured(heard[0], barely)})[question].answer == "yes"
    silent = {name: MetricResult(n=3, detail={"reason": "too few"}) for name in heard[MIN_METRICS:]}
    found = judge(measures | silent | {heard[0]: measured(heard[0], 0.99 * LEVEL / MIN_METRICS)})
    assert found[question].answer == "no"


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_yes_needs_every_named_fault_to_be_found_at_the_margin(fault):
    question, planted = FAULTS[fault], finds(NULLS)
    shares = torch.tensor(SHARES, dtype=torch.float64)
    for is_found, expected in ((shares > MARGIN, "cannot tell"), (shares >= MARGIN, "yes")):
        p = torch.where(is_found[:, None], 1e-6, 0.9).double().expand(-1, 8)
        verdict = judge(made(), planted | {fault: dict.fromkeys(NULLS, p)})[question]
        assert verdict.answer == expected, verdict
    assert judge(made(), {})[question].answer == "cannot tell"


def test_the_detectable_share_is_that_of_the_power_asked_for():
    """Replicate r of 10 finds the fault from the r-th share on: nine of ten do so at the ninth."""
    p = torch.ones(len(SHARES), 10, dtype=torch.float64)
    for replicate in range(10):
        p[replicate:, replicate] = 1e-6
    found = detectable_shares({"noise": {"precision": p}}, REALISTIC, ["precision"])
    assert found == {"noise": pytest.approx(SHARES[8])}
    assert detectable_shares({"noise": {"precision": p}}, ORIGINAL, ["precision"]) == {}


def test_a_metric_that_failed_its_control_is_not_heard():
    failed = {"collapse": {"failed": "one image per class get 0.9 and real images 0.8"}}
    doubted = measured("coverage", 1e-6, controls=failed)
    assert judge({"coverage": doubted})[DIVERSE].answer == "cannot tell"
    assert "one image per class get 0.9" in judge({"coverage": doubted})[DIVERSE].sentence
    assert judge(made() | {"coverage": doubted})[DIVERSE].answer == "yes"


def test_what_was_not_measured_is_not_told():
    few = {"kid": MetricResult(n=12, detail={"reason": "needs at least 40 images of each kind, found 12"})}
    assert judge(few)[REALISTIC].answer == "cannot tell"
    assert judge(few)[REALISTIC].sentence == "Kid: needs at least 40 images of each kind, found 12."
    assert judge({"kid": measured("kid")})[ORIGINAL].sentence == "No metric that could tell was measured."


def test_a_model_that_makes_no_images_gets_no_verdict():
    assert compute_verdicts({"accuracy": MetricResult(0.9), "ece": MetricResult(0.1)}) == ()
    assert compute_verdicts({}) == ()


def test_a_verdict_cites_its_numbers():
    verdict = judge(made(["recall"]))[DIVERSE]
    assert verdict.p == pytest.approx(7e-6)
    assert verdict.sentence == (
        "1 of 7 metrics found less variety than among real images (p < 0.001): "
        "recall 0.900 [0.800, 1.00] where real images get 0.900. "
        "It would have found one image repeated in 1 % of the images, a class missing in 1 % of the images."
    )


@pytest.mark.parametrize(
    ("metric", "low", "high", "share"),
    [
        ("precision", 0.36, 0.54, (0.4, 0.6)),
        ("precision", 0.0, 0.9, (0.0, 1.0)),  # an end at which none are at fault is an end too
        ("precision", -0.1, 0.99, (0.0, 1.0)),
        ("density", 1.2, 1.4, (0.0, 0.0)),  # too dense: no share of the images
        ("copies", 0.0, 0.3, (0.0, 0.3)),
        ("frechet", 1.0, 2.0, None),
    ],
)
def test_the_share_at_fault_is_an_interval_within_0_and_1(metric, low, high, share):
    result = MetricResult((low + high) / 2, low, high, NULLS[metric], 359, {"null": {"p": 1e-9}})
    found = judge(made() | {metric: result})[question_of(metric)].share
    assert found == (share and pytest.approx(share))


def test_the_discriminator_is_told_and_decides_nothing():
    knows = MetricResult(0.8, 0.75, 0.85, n=359)
    verdict = judge(made() | {"membership_auc": knows})[ORIGINAL]
    assert verdict.answer == "yes"
    assert "membership auc 0.800 [0.750, 0.850]" in verdict.sentence
    assert "discriminator" not in judge(made() | {"membership_auc": replace(knows, low=0.4)})[ORIGINAL].sentence


@pytest.mark.parametrize(
    ("value", "low", "high", "equivalent", "says"),
    [
        (0.48, 0.41, 0.55, False, "48 % wrong (41 to 55): too few answers to say."),
        (0.49, 0.47, 0.51, True, "49 % wrong (47 to 51): they cannot tell them apart."),
        (0.2, 0.1, 0.3, False, "20 % wrong (10 to 30): they tell them apart."),
        (
            0.7,
            0.6,
            0.8,
            False,
            "70 % wrong (60 to 80): they take the generated ones for real more often than the real ones.",
        ),
    ],
)
def test_people_are_told_and_decide_nothing(value, low, high, equivalent, says):
    said = MetricResult(value, low, high, n=400, detail={"equivalent": equivalent})
    for faulty, _ in FAMILIES.values():
        alone = judge(made(faulty))[REALISTIC]
        beside = judge(made(faulty) | {"human_error_rate": said})[REALISTIC]
        assert (beside.answer, beside.sentence) == (alone.answer, f"{alone.sentence} People: {says}")
    sides = judge({"kid": measured("kid"), "human_choice_error": said, "human_error_rate": MetricResult()})
    assert sides[REALISTIC].sentence.endswith(f" People, asked side by side: {says}")


def test_a_translator_gets_the_worse_answer_of_its_two_ways():
    ways = {f"{name}_a2b": measure for name, measure in made().items()}
    ways |= {f"{name}_b2a": measure for name, measure in made(["copies"]).items()}
    assert answers(ways) == ("yes", "no", "yes")
    assert judge(ways)[ORIGINAL].sentence.startswith("From B to A: ")


def test_order_of_metrics_does_not_matter():
    for faulty, _ in FAMILIES.values():
        measures = made(faulty)
        assert judge(dict(reversed(measures.items()))) == judge(measures)


def test_metrics_are_grouped_by_question():
    asked = ["accuracy", "kid", "own", "precision_b2a", "support", "frechet"]
    groups = group_by_question(asked)
    assert groups == {
        REALISTIC: ["precision_b2a", "frechet", "kid"],
        DIVERSE: ["support"],
        "Classes recognised?": ["accuracy"],
        QUESTIONS[-1]: ["own"],
    }
    assert split_direction("precision_b2a") == ("precision", "_b2a")
    assert all(get_metric(name).question[0] in QUESTIONS[:-1] for name in metric_names())


# --- real digits before the real metrics


class Linear(nn.Module):
    """The leading principal components of training images, and the least-squares line to their classes."""

    def __init__(self, train: Images, components: int = 16):
        super().__init__()
        x = self.flat(train.pixels.float() / 127.5 - 1)
        self.mean = x.mean(0)
        self.axes = torch.linalg.svd(x - self.mean, full_matrices=False)[2][:components].T
        codes = torch.cat([(x - self.mean) @ self.axes, torch.ones(len(x), 1)], 1)
        self.weights = torch.linalg.lstsq(codes, nn.functional.one_hot(train.labels).float()).solution

    def flat(self, x):
        return x.flatten(1)

    def features(self, x):
        return (self.flat(x) - self.mean) @ self.axes

    def head(self, features):
        return 8 * torch.cat([features, torch.ones(len(features), 1)], 1) @ self.weights


def extractor(judge):
    return lambda images: extract_features(judge, images)


@pytest.fixture(scope="module")
def parts() -> list[Images]:
    """Training, validation, test and further images."""
    sklearn = pytest.importorskip("sklearn.datasets")
    data = sklearn.load_digits()
    order = torch.randperm(len(data.images), generator=torch.Generator().manual_seed(0))
    pixels = (torch.tensor(data.images) * 255 / 16).round().to(torch.uint8)[order, None]
    images = Images(pixels, torch.tensor(data.target)[order])
    return [
        Images(*part)
        for part in zip(*(t.split([698, 400, 400, 299]) for t in (images.pixels, images.labels)), strict=True)
    ]


@pytest.fixture(scope="module")
def linear(parts) -> Linear:
    return Linear(parts[0])


@pytest.fixture(scope="module")
def digits(parts, linear) -> MetricInputs:
    return add_controls(build_inputs(linear, *parts, 359, 0), extractor(linear))


HEARD = [name for name in NULLS if not name.startswith("fld")]


@pytest.fixture(scope="module")
def calibration(digits, linear) -> Calibration:
    """By fewer draws than an evaluation's; `fld` is left out, which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "num_draws", lambda n, limit: 60)
        patch.setattr(faults, "MIN_REPLICATES", 2)
        patch.setattr(faults, "MAX_REPLICATES", 2)
        return calibrate(digits, extractor(linear), HEARD)


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ("real", ("", "", "")),
        ("copies", ("", "no", "")),
        ("stored", ("", "", "no")),
        ("collapse", ("", "", "no")),
        ("noise", ("no", "", "")),
        ("blurred", ("no", "", "")),
    ],
)
def test_planted_digits_are_told(digits, calibration, planted, expected):
    """What is planted is found; what is not planted is not asked."""
    measures = compute_metrics(digits.with_control_samples(planted), HEARD, calibration.baselines)
    found = compute_verdicts(measures, {"": calibration.planted})
    for verdict, answer in zip(found, expected, strict=True):
        assert verdict.answer == answer or not answer, verdict
    if planted == "real":
        assert "no" not in {verdict.answer for verdict in found}


def test_digits_kept_aside_have_no_fault(digits, calibration):
    found = compute_verdicts(compute_metrics(digits, HEARD, calibration.baselines), {"": calibration.planted})
    assert "no" not in {verdict.answer for verdict in found}, found
