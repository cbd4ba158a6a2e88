"""The three verdicts say what was planted: in numbers written by hand, and in real digits before the real metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from genlib.data.images import Images
from genlib.evaluation.controls import add_controls
from genlib.evaluation.runner import compute_metrics
from genlib.evaluation.verdicts import Verdict, compute_verdicts
from genlib.metrics.inputs import MetricInputs, build_inputs, extract_features
from genlib.metrics.registry import (
    ALIKE,
    COPIED,
    QUESTIONS,
    REAL,
    get_metric,
    group_by_question,
    metric_names,
    metrics_of_verdict,
    question_of,
    split_direction,
)
from genlib.metrics.result import MetricResult

NULLS = {
    "precision": 0.9,
    "density": 1.0,
    "c2st": 0.5,
    "inception_score": 9.0,
    "frechet": 0.2,
    "kid": 0.0,
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
FAMILIES = {
    "perfect": ({}, ("yes", "no", "no")),
    "noisy": (
        {"precision": 0.0, "density": 0.0, "c2st": 1.0, "inception_score": 3.0, "frechet": 300.0, "kid": 900.0}
        | {"coverage": 0.1, "recall": 0.2, "authenticity": 0.95, "copying": 30.0, "support": 5000.0},
        ("no", "no", "partly"),
    ),
    "collapsed": (
        {"support": 10.0, "vendi": 2.5, "coverage": 0.1, "recall": 0.05, "ndb": 60.0, "mode_kl": 0.3}
        | {"c2st": 0.99, "frechet": 40.0, "kid": 80.0},
        ("yes", "no", "yes"),
    ),
    "copying": (
        {"copies": 0.97, "authenticity": 0.01, "copying": -18.0, "fld_gap": -2000.0},
        ("yes", "yes", "no"),
    ),
    "a fifth copied": ({"copies": 0.19, "authenticity": 0.49, "copying": -4.0}, ("yes", "partly", "no")),
    "fair": ({"precision": 0.8, "c2st": 0.58, "frechet": 1.0, "coverage": 0.75}, ("nearly", "no", "partly")),
    "nine of ten alike": ({"support": 1000.0, "vendi": 6.0}, ("yes", "no", "partly")),
}


def measured(metric: str, value: float | None = None, **detail) -> MetricResult:
    """A measure with an interval of 2 % of what real images get on either side, and so has theirs."""
    null = NULLS[metric]
    value, margin = null if value is None else value, 0.02 * max(abs(null), 0.1)
    ends = {"low": null - margin, "high": null + margin}
    return MetricResult(value, value - margin, value + margin, null, 359, {"null": ends, **detail})


def made(faults) -> dict[str, MetricResult]:
    return {metric: measured(metric, faults.get(metric)) for metric in NULLS}


def answers(measures) -> tuple[str, ...]:
    return tuple(verdict.answer for verdict in compute_verdicts(measures))


def told(measures, asked: str) -> Verdict:
    return next(verdict for verdict in compute_verdicts(measures) if verdict.question == asked)


@pytest.mark.parametrize("family", FAMILIES)
def test_verdicts_say_what_was_planted(family):
    faults, expected = FAMILIES[family]
    assert answers(made(faults)) == expected


def test_every_deciding_metric_answers_the_question_it_is_filed_under():
    assert {question_of(metric) for metric in metrics_of_verdict("per_image", "distribution")} == {REAL}
    assert {question_of(metric) for metric in metrics_of_verdict("memorization")} == {COPIED}
    assert {question_of(metric) for metric in metrics_of_verdict("support_size", "modes")} == {ALIKE}


@pytest.mark.parametrize("metric", sorted(NULLS))
def test_one_metric_alone_decides_both_ways(metric):
    faulty = 1.0 if get_metric(metric).better == "lower" else -1.0
    asked = question_of(metric)
    assert told({metric: measured(metric)}, asked).is_good
    worse = told({metric: measured(metric, NULLS[metric] + faulty * max(NULLS[metric], 0.5))}, asked)
    assert not worse.is_good
    assert worse.answer != "cannot tell"
    better = measured(metric, NULLS[metric] - faulty * 0.3 * max(NULLS[metric], 0.5))
    assert told({metric: better}, asked).is_good


@pytest.mark.parametrize("metric", sorted(NULLS))
def test_intervals_that_touch_decide_nothing(metric):
    wide = replace(measured(metric, NULLS[metric] / 2 - 1), low=-1e9, high=1e9)
    assert told({metric: wide}, question_of(metric)).is_good


def test_a_metric_that_failed_its_control_is_not_heard():
    failed = {"collapse": {"failed": "one image per class get 0.9 and real images 0.8"}}
    doubted = measured("coverage", 0.1, controls=failed)
    assert told({"coverage": doubted}, ALIKE).answer == "cannot tell"
    assert "one image per class get 0.9" in told({"coverage": doubted}, ALIKE).sentence
    assert told({"coverage": doubted, "recall": measured("recall")}, ALIKE).answer == "no"


def test_what_was_not_measured_is_not_told():
    verdict = told(
        {"kid": MetricResult(n=12, detail={"reason": "needs at least 40 images of each kind, found 12"})}, REAL
    )
    assert verdict.answer == "cannot tell"
    assert verdict.sentence == "Kid: needs at least 40 images of each kind, found 12."
    assert told({"kid": measured("kid")}, COPIED).sentence == "No metric that could tell was measured."


def test_a_model_that_makes_no_images_gets_no_verdict():
    assert compute_verdicts({"accuracy": MetricResult(0.9), "ece": MetricResult(0.1)}) == ()
    assert compute_verdicts({}) == ()


def test_a_verdict_cites_its_numbers():
    sentence = told(made({"coverage": 0.5, "recall": 0.25}), ALIKE).sentence
    assert sentence == (
        "2 of 5 metrics missed modes of the real images: recall 0.250 [0.232, 0.268] where real images get 0.900, "
        "coverage 0.500 [0.481, 0.519] where real images get 0.960."
    )


def test_no_collision_is_no_lack_of_variety():
    """A lower bound below what real images get says nothing against the model."""
    bound = replace(measured("support", 300.0), high=None)
    assert told({"support": replace(bound, detail={**bound.detail, "more_than": True})}, ALIKE).answer == "no"
    assert told({"support": replace(bound, high=300.0)}, ALIKE).answer == "partly"


def test_the_discriminator_is_told_and_decides_nothing():
    knows = MetricResult(0.8, 0.75, 0.85, n=359)
    verdict = told({"copies": measured("copies"), "membership_auc": knows}, COPIED)
    assert verdict.answer == "no"
    assert "membership auc 0.800 [0.750, 0.850]" in verdict.sentence
    assert (
        "discriminator"
        not in told({"membership_auc": replace(knows, low=0.4), "kid": measured("kid")}, COPIED).sentence
    )


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
    for faults, _ in FAMILIES.values():
        alone = told(made(faults), REAL)
        beside = told(made(faults) | {"human_error_rate": said}, REAL)
        assert (beside.answer, beside.sentence) == (alone.answer, f"{alone.sentence} People: {says}")
    sides = told(
        {"kid": measured("kid"), "human_choice_error": said, "human_error_rate": MetricResult()}, REAL
    ).sentence
    assert sides.endswith(f" People, asked side by side: {says}")


def test_a_translator_gets_the_worse_answer_of_its_two_ways():
    good, bad = made({}), made({"copies": 0.97})
    ways = {f"{name}_a2b": measure for name, measure in good.items()}
    ways |= {f"{name}_b2a": measure for name, measure in bad.items()}
    assert answers(ways) == ("yes", "yes", "no")
    assert told(ways, COPIED).sentence.startswith("From B to A: ")


def test_order_of_metrics_does_not_matter():
    for faults, _ in FAMILIES.values():
        measures = made(faults)
        assert compute_verdicts(dict(reversed(measures.items()))) == compute_verdicts(measures)


def test_metrics_are_grouped_by_question():
    asked = ["accuracy", "kid", "own", "precision_b2a", "support", "frechet"]
    groups = group_by_question(asked)
    assert groups == {
        REAL: ["precision_b2a", "frechet", "kid"],
        ALIKE: ["support"],
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


@pytest.fixture(scope="module")
def digits() -> MetricInputs:
    sklearn = pytest.importorskip("sklearn.datasets")
    data = sklearn.load_digits()
    order = torch.randperm(len(data.images), generator=torch.Generator().manual_seed(0))
    pixels = (torch.tensor(data.images) * 255 / 16).round().to(torch.uint8)[order, None]
    images = Images(pixels, torch.tensor(data.target)[order])
    train, valid, test, more = (
        Images(*part)
        for part in zip(*(t.split([698, 400, 400, 299]) for t in (images.pixels, images.labels)), strict=True)
    )
    judge = Linear(train)
    return add_controls(
        build_inputs(judge, train, valid, test, more, 359, 0), lambda images: extract_features(judge, images)
    )


def judged(evidence: MetricInputs) -> dict[str, MetricResult]:
    return compute_metrics(evidence, [name for name in metric_names() if get_metric(name).verdict[0]])


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ("real", {REAL: {"yes"}, COPIED: {"no"}, ALIKE: {"no"}}),
        ("copies", {REAL: {"yes", "nearly"}, COPIED: {"yes"}, ALIKE: {"no", "partly"}}),
        # where all are alike, only metrics of single images could tell, which miss blur in components of pixels
        ("stored", {REAL: {"cannot tell"}, COPIED: {"no"}, ALIKE: {"yes"}}),
        ("collapse", {REAL: {"cannot tell"}, COPIED: {"no"}, ALIKE: {"yes"}}),
        ("noise", {REAL: {"no"}, COPIED: {"no"}}),
        ("blurred", {REAL: {"cannot tell"}, COPIED: {"no"}, ALIKE: {"yes"}}),
    ],
)
def test_planted_digits_are_told(digits, planted, expected):
    measures = judged(digits.with_control_samples(planted))
    found = {verdict.question: verdict for verdict in compute_verdicts(measures)}
    for asked, fitting in expected.items():
        assert found[asked].answer in fitting, found[asked]


def test_digits_kept_aside_are_real_and_new_and_varied(digits):
    assert answers(judged(digits)) == ("yes", "no", "no")
