"""Linear probe: is the class linearly decodable from the codes? For models that encode."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.images import to_float
from genlib.data.pixels import Pixels, flat_float64, images_within, iter_pieces
from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.models.layers.sampling import eval_mode, map_in_chunks

MAX_TRAIN = 10_000  # images a probe learns from, at the most
L2_PENALTIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
MAX_ITERATIONS = 200

TEST_ELEMENTS = 1 << 22  # numbers of test images that are held in float64 at a time

Labelled = tuple[Pixels, Tensor]  # x [n, ...], y int64 [n]


@metric(question=("Classes recognised?", 4), needs="encodes", bounds=(0, 1))
def probe_accuracy(inputs: MetricInputs) -> MetricResult:
    """Accuracy on all test images of a logistic regression on the codes of training images. Interval: Wilson."""
    if getattr(inputs.model, "conditional", False):
        raise UndefinedMetric("this model gets the label when it encodes")
    if inputs.train.labels is None or not len(inputs.test):
        raise UndefinedMetric("the data have no labels" if len(inputs.test) else "there are no test images")
    rows = torch.randperm(len(inputs.train), generator=seeded_generator(inputs.seed, "probe"))[:MAX_TRAIN]
    sets = [(images.pixels, cast(Tensor, images.labels)) for images in (inputs.train[rows], inputs.valid, inputs.test)]
    found = fit_probe(*((encode_pixels(inputs.model, pixels), labels) for pixels, labels in sets))
    raw = fit_probe(*sets)
    found.detail["train"] = len(rows)
    found.detail["pixels"] = {"value": raw.value, "low": raw.low, "high": raw.high, **raw.detail}
    return found


def encode_pixels(model: Any, pixels: Pixels) -> Tensor:
    """Mean codes of uint8 pixels, float64 [n, latent], on the CPU."""
    device = next(model.parameters()).device
    with eval_mode(model):
        return map_in_chunks(lambda part: model.encode_mean(to_float(part.to(device))).double().cpu(), pixels)


def fit_probe(train: Labelled, valid: Labelled, test: Labelled) -> MetricResult:
    """Accuracy on `test` of the regression on `train` whose penalty gives the least cross-entropy on `valid`."""
    (x, y), (valid_x, valid_y) = ((flat_float64(x[:]), y) for x, y in (train, valid))
    std, mean = torch.std_mean(x, 0, correction=0)
    scale = torch.where(std > 0, std, 1.0)
    for rows in (x, valid_x):
        rows.sub_(mean).div_(scale)
    basis = row_space_basis(x) if x.shape[1] > len(x) else None
    if basis is not None:
        x, valid_x = x @ basis, valid_x @ basis
    num_classes = int(torch.cat([y, valid_y, test[1]]).max()) + 1
    weights = torch.zeros(x.shape[1] + 1, num_classes, dtype=torch.float64)
    candidates = []
    for penalty in L2_PENALTIES:
        weights = fit_logistic_regression(x, y, penalty, weights)
        candidates.append((float(F.cross_entropy(linear_logits(valid_x, weights), valid_y)), penalty, weights))
    _, penalty, weights = min(candidates, key=lambda candidate: candidate[0])
    if basis is not None:
        weights = torch.cat([basis @ weights[:-1], weights[-1:]])
    pieces = iter_pieces(test[0], images_within(TEST_ELEMENTS, test[0].shape[1:]))
    logits = [linear_logits(flat_float64(piece).sub_(mean).div_(scale), weights) for piece in pieces]
    correct = int((torch.cat(logits).argmax(1) == test[1]).sum())
    return MetricResult.of_share(correct, len(test[1]), correct=correct, features=len(weights) - 1, penalty=penalty)


def row_space_basis(x: Tensor) -> Tensor:
    """Orthonormal columns [d, n] that span the rows of x [n, d], n < d. Of the weights of least loss + L2 penalty none
    leaves that span (the representer theorem), and a turn changes no norm: so a regression on x @ basis is that on x,
    with n numbers an image instead of d."""
    basis: Tensor = torch.linalg.qr(x.T).Q
    return basis


def linear_logits(x: Tensor, weights: Tensor) -> Tensor:
    return x @ weights[:-1] + weights[-1]


def fit_logistic_regression(x: Tensor, y: Tensor, penalty: float, initial: Tensor) -> Tensor:
    """The weights of least mean cross-entropy + penalty / 2 ||W||^2, by L-BFGS from `initial`; b is not penalised."""
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
