"""Annealed importance sampling: how probable are a few real images under any decoder?"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import log, pi, prod
from typing import Any, Self

import torch
from torch import Tensor

from genlib.data.images import dequantize, to_float
from genlib.data.random import seeded_generator
from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.likelihood import describe_likelihood
from genlib.metrics.stats.annealing import annealed_log_likelihood
from genlib.metrics.stats.bayes import importance_log_likelihood

NUM_IMAGES = 10  # of test, and of train
NUM_SIMULATED = 6
NUM_CHAINS = 2
NUM_DISTRIBUTIONS = 100
IMPORTANCE_SAMPLES = 200  # of q(z|x), for the importance sampling beside it
PIXEL_STD = 0.1  # of the noise around a decoder's images, in intensities from 0 to 1


@dataclass(frozen=True)
class SphericalDecoder:
    """p(x|z) = N(decode_image(z), (2 PIXEL_STD)^2) for each number of an image in [-1, 1], whatever the model is."""

    decode_image: Callable[..., Tensor]
    noise_dim: int
    nll_offset: float
    pixel_likelihood = "spherical"

    @classmethod
    def from_model(cls, model: Any, shape: tuple[int, ...]) -> Self:
        offset = -prod(shape) * log(2)
        if hasattr(model, "decode_noise"):
            return cls(lambda *codes: model.decode_noise(*codes).mean, model.noise_dim, offset)
        return cls(model.decode_image, model.latent, offset)

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


@metric(question=("Real images probable?", 2), needs="decodes")
def ais(inputs: MetricInputs) -> MetricResult:
    """log p(x) in nats by annealed importance sampling (Neal 2001; Wu et al. 2017), mean over 10 test images.

    `detail.gap`: to an upper bound, on images that the model drew (Grosse et al. 2015). A decoder without a likelihood
    that is normalised gets Gaussian noise, `detail.spherical` of the others.
    """
    if len(inputs.test) < 2:
        raise UndefinedMetric(f"needs at least 2 test images, found {len(inputs.test)}")
    model: Any = deepcopy(inputs.model).eval().requires_grad_(False)
    spherical = DecoderEvaluator(SphericalDecoder.from_model(model, tuple(inputs.test.pixels.shape[1:])), model, inputs)
    has_density = getattr(model, "pixel_likelihood", "gray_bce") != "gray_bce"
    own = DecoderEvaluator(model, model, inputs) if has_density else spherical
    rows = torch.randperm(len(inputs.train), generator=seeded_generator(inputs.seed, "ais"))[:NUM_IMAGES]
    test, train = own.observe(inputs.test[:NUM_IMAGES]), own.observe(inputs.train[rows])
    found = own.log_likelihood(*test)
    detail: dict[str, Any] = {
        "of": "x given its label" if own.is_conditional else "x",
        **describe_likelihood(own.decoder, test[0], -found),
        "chains": NUM_CHAINS,
        "distributions": NUM_DISTRIBUTIONS,
        "gap": mean_with_interval(own.sandwich_gap(*test)),
        "train": mean_with_interval(own.log_likelihood(*train)),
    }
    if has_density:
        x, y = test
        log_px = importance_log_likelihood(model, x, num_samples=IMPORTANCE_SAMPLES, seed=inputs.seed, y=y)
        detail["above_importance"] = mean_with_interval(found - (log_px - model.nll_offset))
        detail["spherical"] = mean_with_interval(spherical.log_likelihood(*spherical.observe(inputs.test[:NUM_IMAGES])))
    return MetricResult.of_mean(found, **detail)


@dataclass(frozen=True)
class DecoderEvaluator:
    """Estimates for images x as the decoder observes them and their labels y, float64 [n] in nats."""

    decoder: Any  # the model, or its SphericalDecoder
    model: Any
    inputs: MetricInputs

    @property
    def is_conditional(self) -> bool:
        return bool(getattr(self.model, "conditional", False))

    def observe(self, images: FeatureSet) -> tuple[Tensor, Tensor | None]:
        if self.is_conditional and images.labels is None:
            raise UndefinedMetric("the data have no labels")
        device = next(self.model.parameters()).device
        u = torch.rand(images.pixels.shape, generator=seeded_generator(self.inputs.seed, "observe"))
        x = self.decoder.binarize_or_dequantize(to_float(images.pixels[:]).to(device), u.to(device))
        return x, images.labels.to(device) if self.is_conditional and images.labels is not None else None

    def log_likelihood(self, x: Tensor, y: Tensor | None, posterior_draws: Tensor | None = None) -> Tensor:
        """A lower bound in expectation, or an upper one from exact draws of p(z|x)."""
        counts = {"num_distributions": NUM_DISTRIBUTIONS, "num_chains": NUM_CHAINS, "seed": self.inputs.seed}
        nll_offset: float = self.decoder.nll_offset
        return annealed_log_likelihood(self.decoder, x, y=y, posterior_draws=posterior_draws, **counts) - nll_offset

    def sandwich_gap(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The upper bound less the lower, of images that the decoder draws for the first of these labels."""
        x, y = x[:NUM_SIMULATED], None if y is None else y[:NUM_SIMULATED]
        generator = seeded_generator(self.inputs.seed, "simulate")
        z = torch.randn(len(x), self.decoder.noise_dim, generator=generator).to(x)
        drawn = self.decoder.sample_pixels(z, torch.randn(x.shape, generator=generator).to(x), y)
        return self.log_likelihood(drawn, y, z) - self.log_likelihood(drawn, y)


def mean_with_interval(values: Tensor) -> dict[str, Any]:
    found = MetricResult.of_mean(values)
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
