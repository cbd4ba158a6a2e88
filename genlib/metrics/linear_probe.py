"""Do codes say what an image shows? For models that encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import seeded_generator
from genlib.data.images import to_float
from genlib.metrics.inputs import CHUNK_SIZE, FeatureSet, MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import wilson

MAX_TRAIN = 10_000  # images a probe learns from, at the most
L2_PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
MAX_ITERATIONS = 200


class Encoder(Protocol):
    def encode_mean(self, x: Tensor) -> Tensor: ...


@metric(needs="encodes")
def probe_accuracy(inputs: MetricInputs) -> MetricResult:
    """Accuracy on all test images of a multinomial logistic regression on the codes of training images. Interval:
    Wilson.

    It learns from at most 10,000 images; its L2 penalty is the one that predicts `valid` best. `detail.pixels` is the
    same of raw pixels, the accuracy that needs no model.
    """
    if getattr(inputs.model, "conditional", False):
        raise UndefinedMetric("this model is told the label when it encodes")
    if inputs.train.labels is None or not len(inputs.test):
        raise UndefinedMetric("the data have no labels" if len(inputs.test) else "there are no test images")
    model = cast(nn.Module, inputs.model)
    chosen = torch.randperm(len(inputs.train), generator=seeded_generator(inputs.seed, "probe"))[:MAX_TRAIN]
    views = inputs.train[chosen], inputs.valid, inputs.test
    codes = fit_probe(*(LabelledFeatures(encode_pixels(model, view.pixels), require_labels(view)) for view in views))
    pixels = fit_probe(*(LabelledFeatures(view.pixels.flatten(1).double(), require_labels(view)) for view in views))
    detail = {
        **codes.detail,
        "train": len(chosen),
        "pixels": {"value": pixels.value, "low": pixels.low, "high": pixels.high, **pixels.detail},
    }
    return MetricResult(codes.value, codes.low, codes.high, n=codes.n, detail=detail)


@dataclass(frozen=True)
class LabelledFeatures:
    """`x` float64 [n, d], `y` int64 [n]."""

    x: Tensor
    y: Tensor


def require_labels(feature_set: FeatureSet) -> Tensor:
    return cast(Tensor, feature_set.labels)


@torch.no_grad()
def encode_pixels(model: nn.Module, pixels: Tensor) -> Tensor:
    """Mean codes of uint8 pixels, float64 [n, latent], on the CPU."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    codes = [
        cast(Encoder, model).encode_mean(to_float(part.to(device))).double().cpu()
        for part in torch.split(pixels, CHUNK_SIZE)
    ]
    model.train(was_training)
    return torch.cat(codes)


def fit_probe(train: LabelledFeatures, valid: LabelledFeatures, test: LabelledFeatures) -> MetricResult:
    """Accuracy on `test` of the regression on `train` whose penalty gives the least cross-entropy on `valid`."""
    spread, mean = torch.std_mean(train.x, 0, correction=0)
    scale = torch.where(spread > 0, spread, 1.0)
    known, held, asked = ((part.x - mean) / scale for part in (train, valid, test))
    classes = int(torch.cat([train.y, valid.y, test.y]).max()) + 1
    weights = torch.zeros(known.shape[1] + 1, classes, dtype=torch.float64)
    tried = []
    for penalty in L2_PENALTIES:
        weights = fit_logistic_regression(known, train.y, penalty, weights)
        tried.append((float(F.cross_entropy(linear_logits(held, weights), valid.y)), penalty, weights))
    _, penalty, weights = min(tried, key=lambda one: one[0])
    correct = int((linear_logits(asked, weights).argmax(1) == test.y).sum())
    low, high = wilson(correct, len(test.y))
    detail = {"correct": correct, "features": known.shape[1], "penalty": penalty}
    return MetricResult(correct / len(test.y), low, high, n=len(test.y), detail=detail)


def linear_logits(x: Tensor, weights: Tensor) -> Tensor:
    """x W + b, with b the last row of `weights` [d + 1, classes]."""
    return x @ weights[:-1] + weights[-1]


def fit_logistic_regression(x: Tensor, y: Tensor, penalty: float, initial: Tensor) -> Tensor:
    """The weights of least mean cross-entropy + penalty / 2 ||W||^2, by L-BFGS from `start`; b is not penalised."""
    weights = initial.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [weights], max_iter=MAX_ITERATIONS, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> float:
        value = F.cross_entropy(linear_logits(x, weights), y) + penalty / 2 * weights[:-1].square().sum()
        (weights.grad,) = torch.autograd.grad(value, weights)
        return value.item()

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()
