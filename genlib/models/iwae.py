"""The networks of Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders"; their pixels are binarized.
One stochastic layer: x - 200 - 200 - z 50 and back, tanh. Two: x - 200 - 200 - h 100 - 100 - 100 - z 50 and back, with
p(x, h, z) = p(z) p(h|z) p(x|h) and q(h, z|x) = q(h|x) q(z|h). Images are flattened to intensities in [0, 1]."""

import math

import torch
from torch import Tensor, nn

from genlib.data.images import Images, chunk_length, to_float
from genlib.models.layers.blocks import Shape
from genlib.models.layers.diagonal_normal import DiagonalNormal
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.models.layers.pixel_likelihood import MeanOutput, PixelDistribution, PixelLikelihood, PixelVariance
from genlib.validation import require_in_range

LATENT_DIM = 50
HIDDEN_DIM = 100


def glorot_linear(in_features: int, out_features: int) -> nn.Linear:
    """Glorot and Bengio 2010: weights uniform in +- sqrt(6 / (inputs + outputs)), biases 0."""
    layer = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def tanh_layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(glorot_linear(inputs, width), nn.Tanh(), glorot_linear(width, width), nn.Tanh())


class NormalMLP(nn.Module):
    """v -> N(mean, deviation), two hidden layers; the last layer gives the mean and the log of the deviation."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = tanh_layers(inputs, width)
        self.mean = glorot_linear(width, outputs)
        self.log_deviation = glorot_linear(width, outputs)

    def forward(self, v: Tensor) -> DiagonalNormal:
        h = self.hidden(v)
        return DiagonalNormal(self.mean(h).float(), 2 * self.log_deviation(h).float())


class IWAE(LatentVariableModel):
    """`layers`: stochastic layers, 1 or 2. Codes are of the top one, z; with two, `encode` and `decode` take the mean
    of h, while `log_px_and_log_ratio` and `sample` draw it. The options of pixels are those of `vae`."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        layers: int = 1,
        pixel_likelihood: PixelLikelihood = "auto",
        variance: PixelVariance = "shared",
        output: MeanOutput = "tanh",
    ) -> None:
        require_in_range(1, 3, layers=layers)
        super().__init__(shape, LATENT_DIM, pixel_likelihood, variance, output)
        pixels = math.prod(shape)
        first = LATENT_DIM if layers == 1 else HIDDEN_DIM
        self.up = nn.ModuleList([NormalMLP(pixels, 200, first)])
        self.down = nn.ModuleList()
        if layers == 2:
            self.up.append(NormalMLP(HIDDEN_DIM, 100, LATENT_DIM))
            self.down.append(NormalMLP(LATENT_DIM, 100, HIDDEN_DIM))
        outputs = self.emission.params_per_value * pixels
        self.pixels = nn.Sequential(*tanh_layers(first, 200), glorot_linear(200, outputs))

    @property
    def noise_dim(self) -> int:
        return LATENT_DIM + HIDDEN_DIM * len(self.down)

    def on_fit_start(self, train: Images, valid: Images) -> None:
        """The output bias gives the mean training image."""
        parts = torch.split(train.pixels, chunk_length(train.shape))
        total = torch.stack([to_float(part).double().sum(0) for part in parts]).sum(0)
        bias = self.emission.inverse_mean((total / len(train) + 1) / 2).flatten()
        self.pixels[-1].bias[: len(bias)].copy_(bias)  # type: ignore[index]

    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalNormal:
        q = self.encode_hidden(x)
        return self.up[1](q.mean) if self.down else q

    def decode(self, z: Tensor, y: Tensor | None = None) -> PixelDistribution:
        return self.decode_hidden(self.down[0](z).mean if self.down else z)

    def log_px_and_log_ratio(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not self.down:
            return super().log_px_and_log_ratio(x, noise, y)
        q_h = self.encode_hidden(x)
        h = q_h.rsample(noise[..., LATENT_DIM:])
        q_z = self.up[1](h)
        z = q_z.rsample(noise[..., :LATENT_DIM])
        return self.decode_hidden(h).log_prob(x), q_h.log_prob(h) + q_z.log_ratio(z) - self.down[0](z).log_prob(h)

    def decode_noise(self, noise: Tensor, y: Tensor | None = None) -> PixelDistribution:
        z = noise[:, :LATENT_DIM]
        return self.decode_hidden(self.down[0](z).rsample(noise[:, LATENT_DIM:]) if self.down else z)

    def encode_hidden(self, x: Tensor) -> DiagonalNormal:
        """q(h|x) of the layer next to the image."""
        q: DiagonalNormal = self.up[0]((x.flatten(1) + 1) / 2)
        return q

    def decode_hidden(self, v: Tensor) -> PixelDistribution:
        """p(x|v) of values v [..., d] of the layer next to the image."""
        return self.emission.distribution(self.pixels(v).view(*v.shape[:-1], *self.emission.params_shape(self.shape)))


Build = IWAE
