"""A GAN whose two players are told the class: p(x|y).

Mirza and Osindero 2014, "Conditional generative adversarial nets". The generator gets an embedding of y beside z. The
discriminator gets one as further channels of the image (`concat`), or adds <v_y, features(x)> to its logit
(`projection`; Miyato and Koyama 2018, "cGANs with projection discriminator").
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from genlib.models.layers.backbones import DECODERS, Net, check_net
from genlib.models.layers.blocks import sample_labelled
from genlib.models.layers.gan import Head, Players, Prior, bound, first, judge
from genlib.validation import at_least, one_of

Condition = Literal["projection", "concat"]


class Generator(nn.Module):
    """(z [n, latent], y [n]) -> what `net` makes of both in one vector."""

    def __init__(self, prior: nn.Module, embedding: nn.Embedding, net: nn.Module) -> None:
        super().__init__()
        self.prior, self.embedding, self.net = prior, embedding, net

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        image: Tensor = self.net(torch.cat([self.prior(z), self.embedding(y)], 1))
        return image


class Projection(nn.Module):
    """(x, y) -> score(features(x)) + <v_y, features(x)>, v_y a row of a linear layer."""

    def __init__(self, features: nn.Module, score: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.features, self.score = features, score
        self.classes = nn.Linear(cast(nn.Linear, score[0]).in_features, classes, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.features(x)
        logit: Tensor = self.score(features) + self.classes(features).gather(1, y[:, None])
        return logit


class Concatenation(nn.Module):
    """(x, y) -> the logit of x with one constant channel for each number of the embedding of y."""

    def __init__(self, embedding: nn.Embedding, net: nn.Module) -> None:
        super().__init__()
        self.embedding, self.net = embedding, net

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        planes = self.embedding(y)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        logit: Tensor = self.net(torch.cat([x, planes], 1))
        return logit


class ConditionalGAN(Players):
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
        condition: Condition = "projection",
        net: Net = "dcgan",
        prior: Prior = "normal",
        head: Head = "logit",
        spectral_norm: bool = False,
    ) -> None:
        at_least(1, latent=latent, width=width, width_d=width_d, embedding=embedding)
        one_of(Condition, condition=condition)
        one_of(Prior, prior=prior)
        one_of(Head, head=head)
        check_net(net, shape)
        if not classes:
            raise ValueError("needs labels, and the data have none")
        super().__init__()
        self.latent, self.classes = latent, classes
        decoder = nn.Sequential(DECODERS[net](shape, latent + embedding, width), nn.Tanh())
        self.generator = Generator(nn.Sequential(*first(prior)), nn.Embedding(classes, embedding), decoder)
        if condition == "projection":
            features, score = judge(net, head, shape, width_d)
            self.discriminator = Projection(features, score, classes)
        else:
            features, score = judge(net, head, (shape[0] + embedding, *shape[1:]), width_d)
            self.discriminator = Concatenation(nn.Embedding(classes, embedding), nn.Sequential(*features, *score))
        if spectral_norm:
            bound(self.discriminator)

    def image(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of codes [n, latent] and classes [n]."""
        image: Tensor = self.generator(z, y)
        return image.float()

    def sample(self, n: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Images of z ~ N(0, 1) and the classes y int64 [n]; without y, of classes drawn uniformly."""
        return sample_labelled(self.image, self, self.latent, self.classes, n, seed, y)


Build = ConditionalGAN
