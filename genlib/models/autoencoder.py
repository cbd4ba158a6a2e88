"""A plain autoencoder. Its codes have no prior: samples decode codes of a Gaussian mixture fitted to those of the
training images (Ghosh et al. 2020, "From variational to deterministic autoencoders") or of the standard normal."""

from math import prod
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.images import Images, is_binary, to_float
from genlib.models.layers.blocks import Shape, conv_decoder, conv_encoder, mlp
from genlib.models.layers.gaussian_mixture import GaussianMixture
from genlib.models.layers.sampling import map_in_chunks, sample_from
from genlib.validation import require_at_least, require_one_of

Net = Literal["linear", "mlp", "conv"]
OutputActivation = Literal["auto", "linear", "sigmoid", "tanh"]
Prior = Literal["mixture", "normal"]

OUTPUT_SLOPES = {"auto": 0.0, "linear": 0.0, "sigmoid": 0.5, "tanh": 1.0}  # s of tanh(s h), 0 for h itself
MIXTURE_COMPONENTS = 10
MAX_MIXTURE_CODES = 10_000  # training images whose codes the mixture is fitted to, at most


class TiedDecoder(nn.Module):
    """The linear layers of an encoder backwards: y = W^T x + b, with biases of its own."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        linear = [layer for layer in reversed(layers) if isinstance(layer, nn.Linear)]
        self.encoder_layers = tuple(linear)  # a tuple does not register them again
        self.biases = nn.ParameterList(torch.zeros(layer.in_features) for layer in self.encoder_layers)

    def forward(self, z: Tensor) -> Tensor:
        for depth, (layer, bias) in enumerate(zip(self.encoder_layers, self.biases, strict=True)):
            z = F.linear(F.leaky_relu(z, 0.2) if depth else z, layer.weight.T, bias)
        return z


class Autoencoder(nn.Module):
    """`net`: one linear layer each way, layers of 8 and 4 `width` units, or convolutions of `width` channels and more.
    `tied`: the decoder's weights are the encoder's, transposed. `output`: pixels from the decoder's last values h: h,
    2 sigmoid(h) - 1 or tanh(h); `auto` is tanh where all training pixels are black or white, else linear.
    `max_channel_mult`: the coarser maps have at most so many times `width` channels."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        net: Net = "conv",
        latent: int = 16,
        width: int = 32,
        tied: bool = False,
        output: OutputActivation = "auto",
        max_channel_mult: int = 8,
    ) -> None:
        require_one_of(Net, net=net)
        require_one_of(OutputActivation, output=output)
        require_at_least(1, latent=latent, width=width, max_channel_mult=max_channel_mult)
        if tied and net == "conv":
            raise ValueError("tied: got true, expected false with the net conv")
        super().__init__()
        self.latent, self.output = latent, output
        if net == "conv":
            self.encoder = conv_encoder(shape, width, latent, max_channel_mult)
            self.decoder = nn.Sequential(conv_decoder(shape, latent, width, max_channel_mult))
        else:
            sizes = [prod(shape), *((8 * width, 4 * width) if net == "mlp" else ()), latent]
            layers = mlp(*sizes)
            self.encoder = nn.Sequential(nn.Flatten(), layers)
            self.decoder = nn.Sequential(TiedDecoder(layers) if tied else mlp(*reversed(sizes)), nn.Unflatten(1, shape))
        self.mixture = GaussianMixture(MIXTURE_COMPONENTS, latent)
        self.slope = nn.Buffer(torch.tensor(OUTPUT_SLOPES[output]))

    def on_fit_start(self, train: Images, valid: Images) -> None:
        if self.output == "auto":
            self.slope.fill_(OUTPUT_SLOPES["tanh" if is_binary(train.pixels) else "linear"])

    def on_fit_end(self, train: Images, valid: Images) -> None:
        pixels = train.pixels[:MAX_MIXTURE_CODES]
        self.mixture.fit(map_in_chunks(lambda chunk: self.encode_mean(to_float(chunk)), pixels))

    def encode_mean(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.encoder(x))

    def intensity_logits(self, h: Tensor) -> Tensor:
        """Of the intensity (image + 1) / 2, as tanh(h) = 2 sigmoid(2 h) - 1; 0 where the output is linear."""
        return 2 * self.slope * h.float()

    def apply_output(self, h: Tensor) -> Tensor:
        """Decoder's last values -> image, unbounded where the output is linear."""
        return torch.where(self.slope > 0, torch.tanh(self.slope * h.float()), h.float())

    def decode_image(self, z: Tensor) -> Tensor:
        return self.apply_output(self.decoder(z)).clamp(-1, 1)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode_image(self.encode_mean(x))

    def sample(self, n: int, *, seed: int = 0, prior: Prior = "mixture") -> Tensor:
        codes = self.mixture.sample_from_noise if prior == "mixture" else lambda noise: noise[:, :-1]
        return sample_from(lambda noise: self.decode_image(codes(noise)), self, self.latent + 1, n, seed)


Build = Autoencoder
