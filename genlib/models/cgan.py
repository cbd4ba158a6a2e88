"""A class-conditional GAN, p(x|y) (Mirza and Osindero 2014). The generator gets an embedding of y beside z. The
discriminator gets one as further channels of the image (`concat`), or adds <v_y, features(x)> to its logit
(`projection`; Miyato and Koyama 2018, "cGANs with projection discriminator")."""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from genlib.models.layers.blocks import Backbone, Shape
from genlib.models.layers.gan import GANBase, Head, Prior, build_decoder, build_discriminator, prior_layers
from genlib.validation import require_at_least, require_one_of

Conditioning = Literal["projection", "concat"]


class ConditionalGenerator(nn.Module):
    """(z [n, latent], y [n]) -> net([prior(z), embedding(y)])."""

    def __init__(self, prior: nn.Module, embedding: nn.Embedding, net: nn.Module) -> None:
        super().__init__()
        self.prior, self.embedding, self.net = prior, embedding, net

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return cast(Tensor, self.net(torch.cat([self.prior(z), self.embedding(y)], 1)))


class ProjectionDiscriminator(nn.Module):
    """(x, y) -> score(features(x)) + <v_y, features(x)>, v_y a row of a linear layer."""

    def __init__(self, features: nn.Module, score: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.features, self.score = features, score
        self.classes = nn.Linear(cast(nn.Linear, score[0]).in_features, classes, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.features(x)
        return cast(Tensor, self.score(features) + self.classes(features).gather(1, y[:, None]))


class ConcatDiscriminator(nn.Module):
    """(x, y) -> the logit of x with one constant channel for each number of the embedding of y."""

    def __init__(self, embedding: nn.Embedding, net: nn.Module) -> None:
        super().__init__()
        self.embedding, self.net = embedding, net

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        planes = self.embedding(y)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return cast(Tensor, self.net(torch.cat([x, planes], 1)))


class ConditionalGAN(GANBase):
    """`embedding`: numbers that stand for a class in the generator, and in a discriminator that concatenates; the other
    options are those of `gan`."""

    conditional = True

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        latent: int = 64,
        width: int = 64,
        width_d: int = 32,
        embedding: int = 16,
        condition: Conditioning = "projection",
        net: Backbone = "dcgan",
        prior: Prior = "normal",
        head: Head = "logit",
        spectral_norm: bool = False,
        max_channel_mult: int = 8,
    ) -> None:
        require_at_least(1, latent=latent, width=width, width_d=width_d, embedding=embedding)
        require_at_least(1, max_channel_mult=max_channel_mult)
        require_one_of(Conditioning, condition=condition)
        if not classes:
            raise ValueError("needs labels, and the data have none")
        super().__init__()
        self.latent, self.classes = latent, classes
        decoder = nn.Sequential(build_decoder(net, shape, latent + embedding, width, max_channel_mult), nn.Tanh())
        first, label = nn.Sequential(*prior_layers(prior)), nn.Embedding(classes, embedding)
        self.generator = ConditionalGenerator(first, label, decoder)
        if condition == "projection":
            features, score = build_discriminator(net, head, shape, width_d, max_channel_mult)
            self.discriminator = ProjectionDiscriminator(features, score, classes)
        else:
            seen = (shape[0] + embedding, *shape[1:])
            features, score = build_discriminator(net, head, seen, width_d, max_channel_mult)
            self.discriminator = ConcatDiscriminator(nn.Embedding(classes, embedding), nn.Sequential(*features, *score))
        if spectral_norm:
            self.apply_spectral_norm()


Build = ConditionalGAN
