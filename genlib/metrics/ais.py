"""How probable are real images under whatever makes images of codes, encoder or not? For a few of them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import log, pi, prod
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded_generator
from genlib.data.images import dequantize, to_float
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.annealing import Decoder, annealed_log_likelihood, reverse_log_likelihood
from genlib.metrics.stats.bayes import LikelihoodModel, importance_log_likelihood
from genlib.metrics.stats.intervals import mean_interval

NUM_IMAGES = 10  # of test, and of train
NUM_SIMULATED = 6
NUM_CHAINS = 2
NUM_DISTRIBUTIONS = 100
IMPORTANCE_SAMPLES = 200  # of q(z|x), for the importance sampling beside it
PIXEL_STD = 0.1  # of the noise around a decoder's images, in intensities from 0 to 1


class ObservableDecoder(Decoder, Protocol):
    """A decoder that says how it sees images, and can be drawn from; `nll_offset` as in `Likelihood`."""

    @property
    def pixel_likelihood(self) -> str: ...
    @property
    def nll_offset(self) -> float: ...
    def binarize_or_dequantize(self, x: Tensor, u: Tensor) -> Tensor: ...
    def sample_pixels(self, noise: Tensor, pixel_noise: Tensor, y: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class SphericalDecoder:
    """p(x|z) = N(image(z), (2 DEVIATION)^2) of every number of an image in [-1, 1], whatever the model is."""

    decode_image: Callable[..., Tensor]
    noise_dim: int
    shape: tuple[int, ...]
    pixel_likelihood = "spherical"

    @classmethod
    def from_model(cls, model: Any, shape: tuple[int, ...]) -> SphericalDecoder:
        """Of a model with latent layers, which knows what their noise leads to, or of a generator."""
        if hasattr(model, "decode_noise"):
            return cls(lambda *codes: model.decode_noise(*codes).mean, model.noise_dim, shape)
        return cls(model.decode_image, model.latent, shape)

    @property
    def nll_offset(self) -> float:
        return -prod(self.shape) * log(2)

    def binarize_or_dequantize(self, x: Tensor, u: Tensor) -> Tensor:
        return dequantize(x, u)

    def log_likelihood(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor:
        k, variance = len(noise), (2 * PIXEL_STD) ** 2
        image = self._decode_given_label(noise.flatten(0, 1), None if y is None else y.repeat(k)).view(k, *x.shape)
        return -0.5 * ((x - image).square() / variance + log(2 * pi * variance)).flatten(2).sum(2)

    def sample_pixels(self, noise: Tensor, pixel_noise: Tensor, y: Tensor | None = None) -> Tensor:
        return self._decode_given_label(noise, y) + 2 * PIXEL_STD * pixel_noise

    def _decode_given_label(self, z: Tensor, y: Tensor | None) -> Tensor:
        return self.decode_image(z) if y is None else self.decode_image(z, y)


@metric(needs="decodes")
def ais(inputs: MetricInputs) -> MetricResult:
    """log p(x) in nats by annealed importance sampling (Neal 2001; Wu et al. 2017), the mean over 10 test images.

    In expectation a lower bound; `detail.gap` is how far it lies from an upper one on images that the model made itself
    (Grosse et al. 2015). Without a normalised likelihood of its own, a decoder's images are seen through Gaussian noise
    of deviation 0.1; `detail.spherical` is that number of the others. `detail.train`: of as many training images.
    Interval: t over images.
    """
    if len(inputs.test) < 2:
        raise UndefinedMetric(f"needs at least 2 test images, found {len(inputs.test)}")
    model = deepcopy(cast(nn.Module, inputs.model)).eval().requires_grad_(False)
    spherical = SphericalDecoder.from_model(model, tuple(inputs.test.pixels.shape[1:]))
    own = getattr(model, "pixel_likelihood", "gray_bce") != "gray_bce"
    decoder = cast(ObservableDecoder, model) if own else spherical
    bench = DecoderEvaluator(inputs.seed, getattr(model, "conditional", False), next(model.parameters()).device)
    chosen = torch.randperm(len(inputs.train), generator=seeded_generator(inputs.seed, "ais"))[:NUM_IMAGES]
    test, train = (
        bench.observe_images(decoder, inputs.test[:NUM_IMAGES]),
        bench.observe_images(decoder, inputs.train[chosen]),
    )
    found = bench.log_likelihood(decoder, test)
    detail: dict[str, Any] = {
        "of": "x given its label" if bench.conditional else "x",
        "observation": decoder.pixel_likelihood,
        "chains": NUM_CHAINS,
        "distributions": NUM_DISTRIBUTIONS,
        "gap": mean_with_interval(bench.sandwich_gap(decoder, test)),
        "train": mean_with_interval(bench.log_likelihood(decoder, train)),
    }
    if own:
        detail["above_importance"] = mean_with_interval(
            found - bench.importance_estimate(cast(LikelihoodModel, model), test)
        )
        detail["spherical"] = mean_with_interval(
            bench.log_likelihood(spherical, bench.observe_images(spherical, inputs.test[:NUM_IMAGES]))
        )
    return MetricResult(**mean_with_interval(found), detail=detail)


@dataclass(frozen=True)
class ObservedImages:
    """Images [n, ...] as a decoder sees them, and the labels that it is given."""

    x: Tensor
    y: Tensor | None


@dataclass(frozen=True)
class DecoderEvaluator:
    """What may be asked of a decoder; every answer is float64 [n], in nats of what `nll` speaks of."""

    seed: int
    conditional: bool
    device: torch.device

    def observe_images(self, decoder: ObservableDecoder, feature_set: FeatureSet) -> ObservedImages:
        if self.conditional and feature_set.labels is None:
            raise UndefinedMetric("the data have no labels")
        u = torch.rand(feature_set.pixels.shape, generator=seeded_generator(self.seed, "observe"))
        x = decoder.binarize_or_dequantize(to_float(feature_set.pixels).to(self.device), u.to(self.device))
        return ObservedImages(
            x, feature_set.labels.to(self.device) if self.conditional and feature_set.labels is not None else None
        )

    def log_likelihood(self, decoder: ObservableDecoder, images: ObservedImages) -> Tensor:
        found = annealed_log_likelihood(
            decoder, images.x, num_distributions=NUM_DISTRIBUTIONS, num_chains=NUM_CHAINS, seed=self.seed, y=images.y
        )
        return found - decoder.nll_offset

    def importance_estimate(self, model: LikelihoodModel, images: ObservedImages) -> Tensor:
        return (
            importance_log_likelihood(model, images.x, num_samples=IMPORTANCE_SAMPLES, seed=self.seed, y=images.y)
            - model.nll_offset
        )

    def sandwich_gap(self, decoder: ObservableDecoder, images: ObservedImages) -> Tensor:
        """The upper bound less the lower, of images that the decoder draws for the first of these labels."""
        x, y = images.x[:NUM_SIMULATED], None if images.y is None else images.y[:NUM_SIMULATED]
        generator = seeded_generator(self.seed, "simulate")
        z = torch.randn(len(x), decoder.noise_dim, generator=generator).to(x)
        drawn = ObservedImages(decoder.sample_pixels(z, torch.randn(x.shape, generator=generator).to(x), y), y)
        upper = reverse_log_likelihood(
            decoder, drawn.x, z, num_distributions=NUM_DISTRIBUTIONS, num_chains=NUM_CHAINS, seed=self.seed, y=y
        )
        return upper - decoder.nll_offset - self.log_likelihood(decoder, drawn)


def mean_with_interval(values: Tensor) -> dict[str, Any]:
    """With its t-interval, as a `Measure` names them."""
    low, high = mean_interval(values.tolist())
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}
