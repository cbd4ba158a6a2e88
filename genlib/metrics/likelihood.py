"""How probable are real images under the model? For models with a likelihood, on all test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded
from genlib.data.images import to_float
from genlib.metrics.classification import calibration_error, confusion
from genlib.metrics.inputs import Evidence
from genlib.metrics.registry import capabilities, metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.bayes import (
    Likelihood,
    agreement,
    class_log_likelihood,
    importance_log_likelihood,
    log_frequencies,
    lower_bound,
    marginal,
    posterior,
)
from genlib.metrics.stats.intervals import of_mean, wilson
from genlib.metrics.stats.ranking import auroc

EVALUATIONS = 250_000  # pairs of an image and a sample that one metric may decode
DRAWS = 8  # binarisations of an image whose log-likelihoods Bayes' rule averages: one alone throws greys away


def affordable(likelihoods: int, most: int) -> int:
    """Samples for each of so many likelihoods: `most`, or as many as EVALUATIONS allows."""
    return max(1, min(most, EVALUATIONS // likelihoods))


@metric(needs="likelihood")
def elbo(evidence: Evidence) -> Measure:
    """E_q(z|x) [log p(x, z) - log q(z|x)] in nats, the mean over all test images (Kingma and Welling 2013).

    A lower bound of log p(x), by at most 10 samples of z per image; given its label for a conditional model. Interval:
    t over images.
    """
    model, x, y = _model(evidence), observed(evidence), _given(evidence)
    samples = affordable(len(x), 10)
    found = lower_bound(model, x, samples=samples, seed=evidence.seed, y=y)
    return _mean(found - model.nll_offset, {"samples": samples, **_kind(model, y)})


@metric(needs="likelihood", better="lower")
def nll(evidence: Evidence) -> Measure:
    """-log p(x) in nats by importance sampling from q(z|x), the mean over all test images (Burda et al. 2016).

    An upper bound in expectation, tighter with more samples: at most 200 per image, fewer for many images, and
    `detail.samples` says how many. A conditional model is asked for -log p(x|y) at the label, and `detail.marginal` is
    -log sum_y p(y) p(x|y). Binary images: of stochastically binarised pixels; real-valued: a density over intensities
    from 0 to 1. Interval: t over images.
    """
    model, x, y = _model(evidence), observed(evidence), _given(evidence)
    if model.observation == "intensity":
        raise Undefined("grey levels under a Bernoulli are no normalised likelihood")
    samples = affordable(len(x), 200)
    found = importance_log_likelihood(model, x, samples=samples, seed=evidence.seed, y=y)
    detail = {"samples": samples, **_kind(model, y)}
    if y is not None:
        by_class, prior, k = _by_class(evidence, x, 20)
        detail["marginal"] = {"value": model.nll_offset - marginal(by_class, prior).mean(), "samples": k}
    return _mean(model.nll_offset - found, detail)


@metric(needs="conditional")
def bayes_accuracy(evidence: Evidence) -> Measure:
    """Share of all test images whose most probable class by Bayes' rule, from the model's p(x|y) and the frequencies
    p(y) of the training labels, is their label. Interval: Wilson.

    `detail` compares this p(y|x) with the judge's: the share of images to which both give one class, and the mean
    KL(judge || rule) in nats; `ece` is the calibration error of the rule; `confusion` is as in `accuracy`.
    """
    y = cast(Tensor, _given(evidence))
    log_q, draws, k = _rule(evidence)
    right = log_q.argmax(1) == y
    correct = int(right.sum())
    low, high = wilson(correct, len(y))
    both = agreement(evidence.test.probabilities.double().log(), log_q)
    detail: dict[str, Any] = {
        "k": k,
        "draws": draws,
        "correct": correct,
        "same_as_judge": both.same,
        "kl_from_judge": both.nats,
    }
    detail["ece"] = calibration_error(log_q.exp().amax(1), right.double())
    detail["confusion"] = confusion(y, log_q.argmax(1), log_q.shape[1])
    return Measure(correct / len(y), low, high, n=len(y), detail=detail)


def posteriors(evidence: Evidence, n: int) -> Tensor:
    """log p(y|x) of the first n test images by Bayes' rule, [n, K]."""
    return _rule(replace(evidence, test=evidence.test[:n]))[0]


def _rule(evidence: Evidence) -> tuple[Tensor, int, int]:
    """log p(y|x) [n, K] of the test images, from log p(x|y) averaged over so many draws of what the likelihood sees,
    by so many samples each."""
    draws = DRAWS if _model(evidence).observation == "bernoulli" else 1
    total, prior, k = _by_class(evidence, observed(evidence), 20 // draws, draws)
    for draw in range(1, draws):
        total = total + _by_class(evidence, observed(evidence, draw=draw), 20 // draws, draws)[0]
    return posterior(total / draws, prior), draws, k


@metric(needs="likelihood")
def anomaly_auroc(evidence: Evidence) -> Measure:
    """How well -log p(x) tells foreign images from test images: the area under the ROC curve, 0.5 by chance.

    Foreign are the test images of the other domain; without one, the test images themselves with their pixels
    shuffled. p(x) = sum_y p(y) p(x|y) for a conditional model. Interval: DeLong et al. 1988.
    """
    foreign = observed(evidence, foreign=True)
    known = observed(evidence)
    scores = -_log_evidence(evidence, torch.cat([known, foreign]))
    value, low, high = auroc(scores[len(known) :], scores[: len(known)])
    against = "shuffled pixels" if evidence.other is None else "the other domain"
    return Measure(value, low, high, n=len(known), detail={"against": against, "foreign": len(foreign)})


def _model(evidence: Evidence) -> Likelihood:
    return cast(Likelihood, evidence.model)


def observed(evidence: Evidence, *, foreign: bool = False, draw: int = 0) -> Tensor:
    """The test images, or foreign ones, as the likelihood sees them in this draw, on the model's device."""
    pixels = _foreign(evidence) if foreign else evidence.test.pixels
    if len(pixels) < 2:
        raise Undefined(f"needs at least 2 test images, found {len(pixels)}")
    x = to_float(pixels)
    u = torch.rand(x.shape, generator=seeded(evidence.seed, "observe", foreign, draw))
    device = next(cast(nn.Module, evidence.model).parameters()).device
    return _model(evidence).observe(x.to(device), u.to(device))


def _foreign(evidence: Evidence) -> Tensor:
    """uint8 [n, C, H, W]; every image's pixels are shuffled in an order of its own, its channels alike."""
    if evidence.other is not None:
        return evidence.other.pixels
    pixels = evidence.test.pixels.flatten(2)
    order = torch.rand(len(pixels), 1, pixels.shape[2], generator=seeded(evidence.seed, "shuffle")).argsort(2)
    return pixels.gather(2, order.expand_as(pixels)).view_as(evidence.test.pixels)


def _given(evidence: Evidence) -> Tensor | None:
    """The labels of the test images for a conditional model, None for any other."""
    if "conditional" not in capabilities(evidence.model):
        return None
    if evidence.test.labels is None or evidence.train.labels is None:
        raise Undefined("the data have no labels")
    return evidence.test.labels


def _by_class(evidence: Evidence, x: Tensor, most: int, draws: int = 1) -> tuple[Tensor, Tensor, int]:
    """log p(x|y) [n, K], log p(y) [K] and the samples taken for each, of a conditional model, as one of `draws`."""
    classes = evidence.test.probabilities.shape[1]
    k = affordable(len(x) * classes * draws, most)
    prior = log_frequencies(cast(Tensor, evidence.train.labels), classes)
    return class_log_likelihood(_model(evidence), x, classes, k=k, seed=evidence.seed), prior, k


def _log_evidence(evidence: Evidence, x: Tensor) -> Tensor:
    """log p(x) [n], whatever the model is conditioned on."""
    if _given(evidence) is None:
        return importance_log_likelihood(_model(evidence), x, samples=affordable(len(x), 50), seed=evidence.seed)
    by_class, prior, _ = _by_class(evidence, x, 5)
    return marginal(by_class, prior)


def _kind(model: Likelihood, y: Tensor | None) -> dict[str, str]:
    return {"of": "x" if y is None else "x given its label", "observation": model.observation}


def _mean(values: Tensor, detail: Mapping[str, Any]) -> Measure:
    low, high = of_mean(values.tolist())
    return Measure(float(values.mean()), low, high, n=len(values), detail=dict(detail))
