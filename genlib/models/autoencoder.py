"""A plain autoencoder: an image through a narrow code and back. It has no law of its codes, so one is fitted to them.

Samples decode codes of a Gaussian mixture fitted to those of the training images (Ghosh et al. 2020, "From variational
to deterministic autoencoders"), or of the standard normal, which are codes of nothing.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.images import Images, to_float
from genlib.models.layers.blocks import Decoder, check_shape, encoder, sample_from
from genlib.models.layers.gaussian_mixture import Mixture
from genlib.validation import at_least, one_of

Net = Literal["linear", "mlp", "conv"]
Output = Literal["auto", "linear", "sigmoid", "tanh"]
Prior = Literal["mixture", "normal"]

SLOPES = {"auto": 0.0, "linear": 0.0, "sigmoid": 0.5, "tanh": 1.0}
COMPONENTS = 10
CODES = 10_000  # that the mixture is fitted to, at the most
CHUNK = 500


def perceptron(sizes: list[int]) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1], rectified in between."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.LeakyReLU(0.2), nn.Linear(wide, narrow)]
    return nn.Sequential(*layers[1:])


class Mirror(nn.Module):
    """The linear layers of a perceptron backwards: y = W^T x + b with each W shared and each b its own."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.tied = tuple(layer for layer in reversed(layers) if isinstance(layer, nn.Linear))  # not registered again
        self.biases = nn.ParameterList(torch.zeros(layer.in_features) for layer in self.tied)

    def forward(self, z: Tensor) -> Tensor:
        for depth, (layer, bias) in enumerate(zip(self.tied, self.biases, strict=True)):
            z = F.linear(F.leaky_relu(z, 0.2) if depth else z, layer.weight.T, bias)
        return z


class Autoencoder(nn.Module):
    """`net`: one linear layer each way, layers of 8 and 4 `width` units, or convolutions of `width` channels and more.

    `tied`: the decoder's weights are the encoder's, transposed. `output`: what makes pixels of the decoder's last
    values h: h itself, 2 sigmoid(h) - 1 or tanh(h); `auto` is tanh for training images of black and white only, linear
    for others.
    """

    slope: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        net: Net = "conv",
        latent: int = 16,
        width: int = 32,
        tied: bool = False,
        output: Output = "auto",
    ) -> None:
        one_of(Net, net=net)
        one_of(Output, output=output)
        at_least(1, latent=latent, width=width)
        if tied and net == "conv":
            raise ValueError("tied must be false with the net conv, found True")
        super().__init__()
        self.latent = latent
        self.output = output
        if net == "conv":
            check_shape(shape)
            self.encoder, self.decoder = encoder(shape, width, latent), nn.Sequential(Decoder(shape, latent, width))
        else:
            sizes = [prod(shape), *((8 * width, 4 * width) if net == "mlp" else ()), latent]
            layers = perceptron(sizes)
            mirror = Mirror(layers) if tied else perceptron(sizes[::-1])
            self.encoder, self.decoder = (
                nn.Sequential(nn.Flatten(), layers),
                nn.Sequential(mirror, nn.Unflatten(1, shape)),
            )
        self.mixture = Mixture(COMPONENTS, latent)
        self.register_buffer("slope", torch.tensor(SLOPES[output]))

    def adapt(self, train: Images, valid: Images) -> None:
        """Choose the output that fits the training images, where it is `auto`."""
        if self.output == "auto":
            binary = ((train.pixels == 0) | (train.pixels == 255)).all()
            self.slope.copy_(torch.where(binary, SLOPES["tanh"], SLOPES["linear"]))

    def conclude(self, train: Images, valid: Images) -> None:
        """Fit the mixture to the codes of the training images, of 10,000 at the most."""
        codes = [self.code(to_float(pixels)) for pixels in torch.split(train.pixels[:CODES], CHUNK)]
        self.mixture.fit(torch.cat(codes))

    def code(self, x: Tensor) -> Tensor:
        """[n, latent]."""
        z: Tensor = self.encoder(x)
        return z

    def logits(self, h: Tensor) -> Tensor:
        """Of the intensity (image + 1) / 2, from the decoder's last values; all 0 where the output is linear.

        tanh(h) = 2 sigmoid(2 h) - 1.
        """
        return 2 * self.slope * h.float()

    def output_of(self, h: Tensor) -> Tensor:
        """The image of the decoder's last values, which a linear output leaves unbounded."""
        return torch.where(self.slope > 0, torch.tanh(self.slope * h.float()), h.float())

    def image(self, z: Tensor) -> Tensor:
        return self.output_of(self.decoder(z)).clamp(-1, 1)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.image(self.code(x))

    def sample(self, n: int, *, seed: int = 0, prior: Prior = "mixture") -> Tensor:
        """Images of codes from the mixture, which is the standard normal until `conclude`, or from that."""
        codes = self.mixture.at if prior == "mixture" else lambda noise: noise[:, :-1]
        return sample_from(lambda noise: self.image(codes(noise)), self, self.latent + 1, n, seed)


Build = Autoencoder
