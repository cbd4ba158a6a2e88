"""A generator and a discriminator: nets after DCGAN, small residual ones, or multilayer perceptrons for points.

Radford, Metz and Chintala 2015, "Unsupervised representation learning with deep convolutional GANs", without batch
normalisation: the generator normalises groups of channels within an image, the discriminator nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from genlib.models.layers.backbones import DECODERS, Net, check_net
from genlib.models.layers.blocks import sample_from
from genlib.models.layers.gan import Head, Players, Prior, bound, first, judge
from genlib.validation import at_least, one_of


class GAN(Players):
    """`prior`: of the codes that G sees. `head`: D's last layer, one logit or the scores of two classes.

    `pack`: images D sees at a time (Lin et al. 2018, "PacGAN"). `spectral_norm`: of every layer of D.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        latent: int = 64,
        width: int = 64,
        width_d: int = 32,
        net: Net = "dcgan",
        prior: Prior = "normal",
        head: Head = "logit",
        pack: int = 1,
        spectral_norm: bool = False,
    ) -> None:
        at_least(1, latent=latent, width=width, width_d=width_d, pack=pack)
        one_of(Prior, prior=prior)
        one_of(Head, head=head)
        check_net(net, shape)
        super().__init__()
        self.latent = latent
        self.pack = pack
        self.generator = nn.Sequential(*first(prior), DECODERS[net](shape, latent, width), nn.Tanh())
        features, score = judge(net, head, (pack * shape[0], *shape[1:]), width_d)
        self.discriminator = nn.Sequential(*features, *score)
        if spectral_norm:
            bound(self.discriminator)

    def image(self, z: Tensor) -> Tensor:
        """Images of codes [n, latent]."""
        image: Tensor = self.generator(z)
        return image.float()

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Images of z ~ N(0, 1)."""
        return sample_from(self.image, self, self.latent, n, seed)


Build = GAN
