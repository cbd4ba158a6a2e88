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
from genlib.models.layers.blocks import ConvDecoder, check_shape, conv_encoder, sample_from
from genlib.models.layers.gaussian_mixture import GaussianMixture
from genlib.validation import require_at_least, require_one_of

Net = Literal["linear", "mlp", "conv"]
OutputActivation = Literal["auto", "linear", "sigmoid", "tanh"]
Prior = Literal["mixture", "normal"]

OUTPUT_SLOPES = {"auto": 0.0, "linear": 0.0, "sigmoid": 0.5, "tanh": 1.0}
MIXTURE_COMPONENTS = 10
MAX_MIXTURE_CODES = 10_000  # that the mixture is fitted to, at the most
CHUNK_SIZE = 500


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1], rectified in between."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.LeakyReLU(0.2), nn.Linear(wide, narrow)]
    return nn.Sequential(*layers[1:])


class TiedDecoder(nn.Module):
    """The linear layers of a perceptron backwards: y = W^T x + b with each W shared and each b its own."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.encoder_layers = tuple(
            layer for layer in reversed(layers) if isinstance(layer, nn.Linear)
        )  # not registered again
        self.biases = nn.ParameterList(torch.zeros(layer.in_features) for layer in self.encoder_layers)

    def forward(self, z: Tensor) -> Tensor:
        for depth, (layer, bias) in enumerate(zip(self.encoder_layers, self.biases, strict=True)):
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
        output: OutputActivation = "auto",
    ) -> None:
        require_one_of(Net, net=net)
        require_one_of(OutputActivation, output=output)
        require_at_least(1, latent=latent, width=width)
        if tied and net == "conv":
            raise ValueError("tied must be false with the net conv, found True")
        super().__init__()
        self.latent = latent
        self.output = output
        if net == "conv":
            check_shape(shape)
            self.encoder, self.decoder = (
                conv_encoder(shape, width, latent),
                nn.Sequential(ConvDecoder(shape, latent, width)),
            )
        else:
            sizes = [prod(shape), *((8 * width, 4 * width) if net == "mlp" else ()), latent]
            layers = mlp(sizes)
            mirror = TiedDecoder(layers) if tied else mlp(sizes[::-1])
            self.encoder, self.decoder = (
                nn.Sequential(nn.Flatten(), layers),
                nn.Sequential(mirror, nn.Unflatten(1, shape)),
            )
        self.mixture = GaussianMixture(MIXTURE_COMPONENTS, latent)
        self.register_buffer("slope", torch.tensor(OUTPUT_SLOPES[output]))

    def on_fit_start(self, train: Images, valid: Images) -> None:
        """Choose the output that fits the training images, where it is `auto`."""
        if self.output == "auto":
            binary = ((train.pixels == 0) | (train.pixels == 255)).all()
            self.slope.copy_(torch.where(binary, OUTPUT_SLOPES["tanh"], OUTPUT_SLOPES["linear"]))

    def on_fit_end(self, train: Images, valid: Images) -> None:
        """Fit the mixture to the codes of the training images, of 10,000 at the most."""
        codes = [
            self.encode_mean(to_float(pixels)) for pixels in torch.split(train.pixels[:MAX_MIXTURE_CODES], CHUNK_SIZE)
        ]
        self.mixture.fit(torch.cat(codes))

    def encode_mean(self, x: Tensor) -> Tensor:
        """[n, latent]."""
        z: Tensor = self.encoder(x)
        return z

    def intensity_logits(self, h: Tensor) -> Tensor:
        """Of the intensity (image + 1) / 2, from the decoder's last values; all 0 where the output is linear.

        tanh(h) = 2 sigmoid(2 h) - 1.
        """
        return 2 * self.slope * h.float()

    def apply_output(self, h: Tensor) -> Tensor:
        """The image of the decoder's last values, which a linear output leaves unbounded."""
        return torch.where(self.slope > 0, torch.tanh(self.slope * h.float()), h.float())

    def decode_image(self, z: Tensor) -> Tensor:
        return self.apply_output(self.decoder(z)).clamp(-1, 1)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode_image(self.encode_mean(x))

    def sample(self, n: int, *, seed: int = 0, prior: Prior = "mixture") -> Tensor:
        """Images of codes from the mixture, which is the standard normal until `conclude`, or from that."""
        codes = self.mixture.sample_from_noise if prior == "mixture" else lambda noise: noise[:, :-1]
        return sample_from(lambda noise: self.decode_image(codes(noise)), self, self.latent + 1, n, seed)


Build = Autoencoder
