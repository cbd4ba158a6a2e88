"""Likelihood of all test images, for models that have one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from genlib.data.images import to_float
from genlib.data.pixels import Pixels, fill_rows, iter_pieces
from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.registry import model_capabilities
from genlib.metrics.stats import bayes
from genlib.metrics.stats.calibration import calibration_error, confusion_matrix
from genlib.metrics.stats.ranking import auroc
from genlib.models.layers.pixel_likelihood import BITS_OFFSET, bits_per_dim

MAX_EVALUATIONS = 250_000  # pairs of an image and a sample that one metric may decode
MAX_VALUES = MAX_EVALUATIONS * 28 * 28  # numbers of those images: larger ones get fewer samples
PIXEL_VARIANCE_NOTE = "each pixel has a variance of its own, and its floor decides the value: not comparable"
NUM_BINARIZATIONS = 8  # of an image, whose log-likelihoods Bayes' rule averages


def samples_within_budget(likelihoods: int, max_samples: int, shape: Sequence[int]) -> int:
    """Samples for each of so many likelihoods of images of this shape: as many as MAX_EVALUATIONS and MAX_VALUES
    allow."""
    affordable = min(MAX_EVALUATIONS, MAX_VALUES // math.prod(shape))
    return max(1, min(max_samples, affordable // likelihoods))


@metric(question=("Real images probable?", 3), needs="likelihood")
def elbo(inputs: MetricInputs) -> MetricResult:
    """E_q(z|x) [log p(x, z) - log q(z|x)] in nats, the mean over all test images (Kingma and Welling 2013)."""
    model, x, y = inputs.model, observe_test_images(inputs), _conditioning_labels(inputs)
    samples = samples_within_budget(len(x), 10, x.shape[1:])
    found = bayes.estimate_elbo(model, x, num_samples=samples, seed=inputs.seed, y=y)
    detail = describe_likelihood(model, x, model.nll_offset - found)
    return MetricResult.of_mean(found - model.nll_offset, samples=samples, of=_describe_condition(y), **detail)


@metric(question=("Real images probable?", 1), needs="likelihood", better="lower")
def nll(inputs: MetricInputs) -> MetricResult:
    """-log p(x) in nats by importance sampling from q(z|x), the mean over all test images (Burda et al. 2016)."""
    model, x, y = inputs.model, observe_test_images(inputs), _conditioning_labels(inputs)
    if model.pixel_likelihood == "gray_bce":
        raise UndefinedMetric("a Bernoulli likelihood of grey levels is not normalised")
    samples = samples_within_budget(len(x), 200, x.shape[1:])
    found = bayes.importance_log_likelihood(model, x, num_samples=samples, seed=inputs.seed, y=y)
    values = model.nll_offset - found
    detail: dict[str, Any] = {"samples": samples, "of": _describe_condition(y), **describe_likelihood(model, x, values)}
    if y is not None:
        by_class, prior, k = _class_log_likelihoods(inputs, x, 20)
        detail["marginal"] = {"value": model.nll_offset - bayes.sum_over_classes(by_class, prior).mean(), "samples": k}
    return MetricResult.of_mean(values, **detail)


@metric(question=("Classes recognised?", 3), needs="conditional", bounds=(0, 1))
def bayes_accuracy(inputs: MetricInputs) -> MetricResult:
    """Share of all test images whose most probable class by Bayes' rule, from the model's p(x|y) and the frequencies
    p(y) of the training labels, is their label. Interval: Wilson."""
    y = cast(Tensor, _conditioning_labels(inputs))
    log_q, draws, k = _averaged_log_posterior(inputs)
    classes, log_p = log_q.argmax(1), inputs.test.probabilities.double().log()
    right = classes == y
    correct = int(right.sum())
    return MetricResult.of_share(
        correct,
        len(y),
        k=k,
        draws=draws,
        correct=correct,
        same_as_judge=float((log_p.argmax(1) == classes).double().mean()),
        kl_from_judge=float(bayes.kl_divergence(log_p, log_q).mean()),
        ece=calibration_error(log_q.exp().amax(1), right.double()),
        confusion=confusion_matrix(y, classes, log_q.shape[1]),
    )


def log_posteriors(inputs: MetricInputs, n: int) -> Tensor:
    """log p(y|x) of the first n test images by Bayes' rule, [n, K]."""
    return _averaged_log_posterior(replace(inputs, test=inputs.test[:n]))[0]


def _averaged_log_posterior(inputs: MetricInputs) -> tuple[Tensor, int, int]:
    """log p(y|x) [n, K] from log p(x|y) averaged over draws of the observed pixels; the draws; samples per draw."""
    draws = NUM_BINARIZATIONS if inputs.model.pixel_likelihood == "binarized" else 1
    total, prior, k = _class_log_likelihoods(inputs, observe_test_images(inputs), 20 // draws, draws)
    for draw in range(1, draws):
        total = total + _class_log_likelihoods(inputs, observe_test_images(inputs, draw=draw), 20 // draws, draws)[0]
    return bayes.normalize_posterior(total / draws, prior), draws, k


@metric(question=("Real images probable?", 4), needs="likelihood", bounds=(0, 1))
def anomaly_auroc(inputs: MetricInputs) -> MetricResult:
    """How well -log p(x) tells foreign images from test images: the area under the ROC curve, 0.5 by chance."""
    x = torch.cat([observe_test_images(inputs), observe_test_images(inputs, ood=True)])
    num_known = len(inputs.test)
    if _conditioning_labels(inputs) is None:
        samples = samples_within_budget(len(x), 50, x.shape[1:])
        scores = -bayes.importance_log_likelihood(inputs.model, x, num_samples=samples, seed=inputs.seed)
    else:
        by_class, prior, _ = _class_log_likelihoods(inputs, x, 5)
        scores = -bayes.sum_over_classes(by_class, prior)
    value, low, high = auroc(scores[num_known:], scores[:num_known])
    against = "shuffled pixels" if inputs.domain_b_test is None else "the other domain"
    return MetricResult(value, low, high, n=num_known, detail={"against": against, "foreign": len(x) - num_known})


def observe_test_images(inputs: MetricInputs, *, ood: bool = False, draw: int = 0) -> Tensor:
    """The test images, or foreign ones, binarised or dequantised by this draw, on the model's device."""
    domain_b = inputs.domain_b_test if ood else None
    pixels = (domain_b or inputs.test).pixels
    if len(pixels) < 2:
        raise UndefinedMetric(f"needs at least 2 test images, found {len(pixels)}")
    pieces = _iter_shuffled(pixels, inputs.seed) if ood and domain_b is None else iter_pieces(pixels)
    generator, device = seeded_generator(inputs.seed, "observe", ood, draw), next(inputs.model.parameters()).device

    def observe(piece: Tensor) -> tuple[Tensor]:
        u = torch.rand(piece.shape, generator=generator)
        return (inputs.model.binarize_or_dequantize(to_float(piece).to(device), u.to(device)),)

    return fill_rows(map(observe, pieces), len(pixels))[0]


def _iter_shuffled(pixels: Pixels, seed: int) -> Iterator[Tensor]:
    """Pieces uint8 [n, C, H, W]; every image's pixels are shuffled in an order of its own, its channels alike."""
    generator = seeded_generator(seed, "shuffle")
    for piece in iter_pieces(pixels):
        flat = piece.flatten(2)
        order = torch.rand(len(flat), 1, flat.shape[2], generator=generator).argsort(2)
        yield flat.gather(2, order.expand_as(flat)).view_as(piece)


def _conditioning_labels(inputs: MetricInputs) -> Tensor | None:
    """The labels of the test images for a conditional model, else None."""
    if "conditional" not in model_capabilities(inputs.model):
        return None
    if inputs.test.labels is None or inputs.train.labels is None:
        raise UndefinedMetric("the data have no labels")
    return inputs.test.labels


def _class_log_likelihoods(
    inputs: MetricInputs, x: Tensor, max_samples: int, draws: int = 1
) -> tuple[Tensor, Tensor, int]:
    """log p(x|y) [n, K], log p(y) [K] and the samples taken for each, of a conditional model, as one of `draws`."""
    classes = inputs.test.probabilities.shape[1]
    k = samples_within_budget(len(x) * classes * draws, max_samples, x.shape[1:])
    prior = bayes.log_frequencies(cast(Tensor, inputs.train.labels), classes)
    return bayes.class_log_likelihoods(inputs.model, x, classes, num_samples=k, seed=inputs.seed), prior, k


def _describe_condition(y: Tensor | None) -> str:
    return "x" if y is None else "x given its label"


def describe_likelihood(model: Any, x: Tensor, nll: Tensor) -> dict[str, Any]:
    """What a pixel is for this model, `bits_per_dim` of the images x with these `nll` [n] where a pixel has 8 bits, and
    a `note` where the value does not compare."""
    detail: dict[str, Any] = {"observation": model.pixel_likelihood}
    if model.pixel_likelihood in BITS_OFFSET:
        detail["bits_per_dim"] = float(bits_per_dim(model.pixel_likelihood, nll.mean(), x[0].numel()))
    if getattr(model, "has_pixel_variance", False):
        detail["note"] = PIXEL_VARIANCE_NOTE
    return detail
