"""A GAN whose two players are told the class: p(x|y).

Mirza and Osindero 2014, "Conditional generative adversarial nets". The generator gets an embedding of y beside z. The
discriminator gets one as further channels of the image (`concat`), or adds <v_y, features(x)> to its logit
(`projection`; Miyato and Koyama 2018, "cGANs with projection discriminator").
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from genlib.models.layers.backbones import DECODERS, Backbone, check_backbone
from genlib.models.layers.blocks import sample_labelled
from genlib.models.layers.gan import GANBase, Head, Prior, apply_spectral_norm, build_discriminator, prior_layers
from genlib.validation import require_at_least, require_one_of

Conditioning = Literal["projection", "concat"]


class ConditionalGenerator(nn.Module):
    """(z [n, latent], y [n]) -> what `net` makes of both in one vector."""

    def __init__(self, prior: nn.Module, embedding: nn.Embedding, net: nn.Module) -> None:
        super().__init__()
        self.prior, self.embedding, self.net = prior, embedding, net

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        image: Tensor = self.net(torch.cat([self.prior(z), self.embedding(y)], 1))
        return image


class ProjectionDiscriminator(nn.Module):
    """(x, y) -> score(features(x)) + <v_y, features(x)>, v_y a row of a linear layer."""

    def __init__(self, features: nn.Module, score: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.features, self.score = features, score
        self.classes = nn.Linear(cast(nn.Linear, score[0]).in_features, classes, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.features(x)
        logit: Tensor = self.score(features) + self.classes(features).gather(1, y[:, None])
        return logit


class ConcatDiscriminator(nn.Module):
    """(x, y) -> the logit of x with one constant channel for each number of the embedding of y."""

    def __init__(self, embedding: nn.Embedding, net: nn.Module) -> None:
        super().__init__()
        self.embedding, self.net = embedding, net

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        planes = self.embedding(y)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        logit: Tensor = self.net(torch.cat([x, planes], 1))
        return logit


class ConditionalGAN(GANBase):
    """`embedding`: numbers that stand for a class in the generator, and in a discriminator that concatenates."""

    conditional: ClassVar[bool] = True

    def __init__(
        self,
        shape: tuple[int, int, int],
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
    ) -> None:
        require_at_least(1, latent=latent, width=width, width_d=width_d, embedding=embedding)
        require_one_of(Conditioning, condition=condition)
        require_one_of(Prior, prior=prior)
        require_one_of(Head, head=head)
        check_backbone(net, shape)
        if not classes:
            raise ValueError("needs labels, and the data have none")
        super().__init__()
        self.latent, self.classes = latent, classes
        decoder = nn.Sequential(DECODERS[net](shape, latent + embedding, width), nn.Tanh())
        self.generator = ConditionalGenerator(
            nn.Sequential(*prior_layers(prior)), nn.Embedding(classes, embedding), decoder
        )
        if condition == "projection":
            features, score = build_discriminator(net, head, shape, width_d)
            self.discriminator = ProjectionDiscriminator(features, score, classes)
        else:
            features, score = build_discriminator(net, head, (shape[0] + embedding, *shape[1:]), width_d)
            self.discriminator = ConcatDiscriminator(nn.Embedding(classes, embedding), nn.Sequential(*features, *score))
        if spectral_norm:
            apply_spectral_norm(self.discriminator)

    def decode_image(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of codes [n, latent] and classes [n]."""
        image: Tensor = self.generator(z, y)
        return image.float()

    def sample(self, n: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Images of z ~ N(0, 1) and the classes y int64 [n]; without y, of classes drawn uniformly."""
        return sample_labelled(self.decode_image, self, self.latent, self.classes, n, seed, y)


Build = ConditionalGAN
