"""How probable are real images under whatever makes images of codes, encoder or not? For a few of them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import log, pi, prod
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded
from genlib.data.images import dequantised, to_float
from genlib.metrics.inputs import Evidence, View
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.annealing import Decoder, annealed_log_likelihood, reverse_log_likelihood
from genlib.metrics.stats.bayes import Likelihood, importance_log_likelihood
from genlib.metrics.stats.intervals import of_mean

IMAGES = 10  # of test, and of train
SIMULATED = 6
CHAINS = 2
DISTRIBUTIONS = 100
SAMPLES = 200  # of q(z|x), for the importance sampling beside it
DEVIATION = 0.1  # of the noise around a decoder's images, in intensities from 0 to 1


class Observed(Decoder, Protocol):
    """A decoder that says how it sees images, and can be drawn from; `nll_offset` as in `Likelihood`."""

    @property
    def observation(self) -> str: ...
    @property
    def nll_offset(self) -> float: ...
    def observe(self, x: Tensor, u: Tensor) -> Tensor: ...
    def draw(self, noise: Tensor, pixels: Tensor, y: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Spherical:
    """p(x|z) = N(image(z), (2 DEVIATION)^2) of every number of an image in [-1, 1], whatever the model is."""

    image: Callable[..., Tensor]
    noise: int
    shape: tuple[int, ...]
    observation = "spherical"

    @classmethod
    def of(cls, model: Any, shape: tuple[int, ...]) -> Spherical:
        """Of a model with latent layers, which knows what their noise leads to, or of a generator."""
        if hasattr(model, "given"):
            return cls(lambda *codes: model.given(*codes).mean, model.noise, shape)
        return cls(model.image, model.latent, shape)

    @property
    def nll_offset(self) -> float:
        return -prod(self.shape) * log(2)

    def observe(self, x: Tensor, u: Tensor) -> Tensor:
        return dequantised(x, u)

    def likelihood(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor:
        k, variance = len(noise), (2 * DEVIATION) ** 2
        image = self._image(noise.flatten(0, 1), None if y is None else y.repeat(k)).view(k, *x.shape)
        return -0.5 * ((x - image).square() / variance + log(2 * pi * variance)).flatten(2).sum(2)

    def draw(self, noise: Tensor, pixels: Tensor, y: Tensor | None = None) -> Tensor:
        return self._image(noise, y) + 2 * DEVIATION * pixels

    def _image(self, z: Tensor, y: Tensor | None) -> Tensor:
        return self.image(z) if y is None else self.image(z, y)


@metric(needs="decodes")
def ais(evidence: Evidence) -> Measure:
    """log p(x) in nats by annealed importance sampling (Neal 2001; Wu et al. 2017), the mean over 10 test images.

    In expectation a lower bound; `detail.gap` is how far it lies from an upper one on images that the model made itself
    (Grosse et al. 2015). Without a normalised likelihood of its own, a decoder's images are seen through Gaussian noise
    of deviation 0.1; `detail.spherical` is that number of the others. `detail.train`: of as many training images.
    Interval: t over images.
    """
    if len(evidence.test) < 2:
        raise Undefined(f"needs at least 2 test images, found {len(evidence.test)}")
    model = deepcopy(cast(nn.Module, evidence.model)).eval().requires_grad_(False)
    spherical = Spherical.of(model, tuple(evidence.test.pixels.shape[1:]))
    own = getattr(model, "observation", "intensity") != "intensity"
    decoder = cast(Observed, model) if own else spherical
    bench = Bench(evidence.seed, getattr(model, "conditional", False), next(model.parameters()).device)
    chosen = torch.randperm(len(evidence.train), generator=seeded(evidence.seed, "ais"))[:IMAGES]
    test, train = bench.observed(decoder, evidence.test[:IMAGES]), bench.observed(decoder, evidence.train[chosen])
    found = bench.log_likelihood(decoder, test)
    detail: dict[str, Any] = {
        "of": "x given its label" if bench.conditional else "x",
        "observation": decoder.observation,
        "chains": CHAINS,
        "distributions": DISTRIBUTIONS,
        "gap": mean(bench.gap(decoder, test)),
        "train": mean(bench.log_likelihood(decoder, train)),
    }
    if own:
        detail["above_importance"] = mean(found - bench.importance(cast(Likelihood, model), test))
        detail["spherical"] = mean(bench.log_likelihood(spherical, bench.observed(spherical, evidence.test[:IMAGES])))
    return Measure(**mean(found), detail=detail)


@dataclass(frozen=True)
class Seen:
    """Images [n, ...] as a decoder sees them, and the labels that it is given."""

    x: Tensor
    y: Tensor | None


@dataclass(frozen=True)
class Bench:
    """What may be asked of a decoder; every answer is float64 [n], in nats of what `nll` speaks of."""

    seed: int
    conditional: bool
    device: torch.device

    def observed(self, decoder: Observed, view: View) -> Seen:
        if self.conditional and view.labels is None:
            raise Undefined("the data have no labels")
        u = torch.rand(view.pixels.shape, generator=seeded(self.seed, "observe"))
        x = decoder.observe(to_float(view.pixels).to(self.device), u.to(self.device))
        return Seen(x, view.labels.to(self.device) if self.conditional and view.labels is not None else None)

    def log_likelihood(self, decoder: Observed, seen: Seen) -> Tensor:
        found = annealed_log_likelihood(
            decoder, seen.x, distributions=DISTRIBUTIONS, chains=CHAINS, seed=self.seed, y=seen.y
        )
        return found - decoder.nll_offset

    def importance(self, model: Likelihood, seen: Seen) -> Tensor:
        return importance_log_likelihood(model, seen.x, samples=SAMPLES, seed=self.seed, y=seen.y) - model.nll_offset

    def gap(self, decoder: Observed, seen: Seen) -> Tensor:
        """The upper bound less the lower, of images that the decoder draws for the first of these labels."""
        x, y = seen.x[:SIMULATED], None if seen.y is None else seen.y[:SIMULATED]
        generator = seeded(self.seed, "simulate")
        z = torch.randn(len(x), decoder.noise, generator=generator).to(x)
        drawn = Seen(decoder.draw(z, torch.randn(x.shape, generator=generator).to(x), y), y)
        upper = reverse_log_likelihood(
            decoder, drawn.x, z, distributions=DISTRIBUTIONS, chains=CHAINS, seed=self.seed, y=y
        )
        return upper - decoder.nll_offset - self.log_likelihood(decoder, drawn)


def mean(values: Tensor) -> dict[str, Any]:
    """With its t-interval, as a `Measure` names them."""
    low, high = of_mean(values.tolist())
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}
