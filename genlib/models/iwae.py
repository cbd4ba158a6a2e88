"""The networks of Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders", with Bernoulli pixels.

One stochastic layer: x - 200 - 200 - z 50 and back, tanh. Two: x - 200 - 200 - h 100 - 100 - 100 - z 50 and back, with
p(x, h, z) = p(z) p(h|z) p(x|h) and q(h, z|x) = q(h|x) q(z|h). An image of any shape is flattened to intensities.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_float
from genlib.models.layers.blocks import CHUNK, sample_from
from genlib.models.layers.latent_variable import Bernoulli, Diagonal, LatentVariableModel
from genlib.validation import within

LATENT = 50
BETWEEN = 100


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Glorot and Bengio 2010: weights uniform in +- sqrt(6 / (inputs + outputs)), biases 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def hidden(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(linear(inputs, width), nn.Tanh(), linear(width, width), nn.Tanh())


class Normal(nn.Module):
    """v -> N(mean, deviation), two hidden layers; the last layer gives the mean and the log of the deviation."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = hidden(inputs, width)
        self.mean = linear(width, outputs)
        self.log_deviation = linear(width, outputs)

    def forward(self, v: Tensor) -> Diagonal:
        h = self.hidden(v)
        return Diagonal(self.mean(h).float(), 2 * self.log_deviation(h).float())


class Burda(LatentVariableModel):
    """`layers`: stochastic layers, 1 or 2. Codes are of the top one, z; with two, `encode` and `decode` go through the
    mean of h, while `parts` and `sample` draw it."""

    def __init__(self, shape: tuple[int, int, int], classes: int, *, layers: int = 1) -> None:
        within(1, 3, layers=layers)
        super().__init__(shape, LATENT, "bernoulli")
        pixels = math.prod(shape)
        first = LATENT if layers == 1 else BETWEEN
        self.up = nn.ModuleList([Normal(pixels, 200, first)])
        self.down = nn.ModuleList()
        if layers == 2:
            self.up.append(Normal(BETWEEN, 100, LATENT))
            self.down.append(Normal(LATENT, 100, BETWEEN))
        self.pixels = nn.Sequential(*hidden(first, 200), linear(200, pixels))

    @property
    def noise(self) -> int:
        return LATENT + BETWEEN * len(self.down)

    def adapt(self, train: Images, valid: Images) -> None:
        """The output bias is the logit of the mean training image, clipped to [0.001, 0.999]."""
        total = torch.stack([to_float(part).double().sum(0) for part in torch.split(train.pixels, CHUNK)]).sum(0)
        mean = (total / len(train) + 1) / 2
        self.pixels[-1].bias.copy_(torch.logit(mean.flatten(), eps=0.001))  # type: ignore[operator]

    def encode(self, x: Tensor, y: Tensor | None = None) -> Diagonal:
        q = self.below(x)
        return self.up[1](q.mean) if self.down else q

    def decode(self, z: Tensor, y: Tensor | None = None) -> Bernoulli:
        return self.emit(self.down[0](z).mean if self.down else z)

    def parts(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not self.down:
            return super().parts(x, noise, y)
        q_h = self.below(x)
        h = q_h.at(noise[..., LATENT:])
        q_z = self.up[1](h)
        z = q_z.at(noise[..., :LATENT])
        return self.emit(h).log_prob(x), q_h.log_prob(h) + q_z.log_ratio(z) - self.down[0](z).log_prob(h)

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        return sample_from(self.drawn, self, self.noise, n, seed)

    def drawn(self, noise: Tensor) -> Tensor:
        """The mean images [n, C, H, W] that standard normal numbers [n, noise] lead to."""
        return self.given(noise).mean

    def given(self, noise: Tensor, y: Tensor | None = None) -> Bernoulli:
        z = noise[:, :LATENT]
        return self.emit(self.down[0](z).at(noise[:, LATENT:]) if self.down else z)

    def below(self, x: Tensor) -> Diagonal:
        """The posterior of the layer next to the image."""
        q: Diagonal = self.up[0]((x.flatten(1) + 1) / 2)
        return q

    def emit(self, v: Tensor) -> Bernoulli:
        """p(x|v) of v [..., d] of the layer next to the image."""
        return Bernoulli(self.pixels(v).float().view(*v.shape[:-1], *self.shape))


Build = Burda
