"""A generator and a discriminator: networks after DCGAN (Radford, Metz and Chintala 2015) without batch normalisation,
small residual ones, or multilayer perceptrons for points."""

from torch import nn

from genlib.models.layers.blocks import Backbone, Shape
from genlib.models.layers.gan import GANBase, Head, Prior, build_decoder, build_discriminator, prior_layers
from genlib.validation import require_at_least


class GAN(GANBase):
    """`prior`: of the codes that G sees. `head`: D's last layer, one logit or the scores of two classes. `pack`: images
    D sees at a time (Lin et al. 2018, "PacGAN"). `spectral_norm`: of every layer of D. `max_channel_mult`: the coarser
    maps have at most so many times `width` or `width_d` channels."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        latent: int = 64,
        width: int = 64,
        width_d: int = 32,
        net: Backbone = "dcgan",
        prior: Prior = "normal",
        head: Head = "logit",
        pack: int = 1,
        spectral_norm: bool = False,
        max_channel_mult: int = 8,
    ) -> None:
        require_at_least(1, latent=latent, width=width, width_d=width_d, pack=pack, max_channel_mult=max_channel_mult)
        super().__init__()
        self.latent, self.pack = latent, pack
        decoder = build_decoder(net, shape, latent, width, max_channel_mult)
        self.generator = nn.Sequential(*prior_layers(prior), decoder, nn.Tanh())
        seen = (pack * shape[0], *shape[1:])
        features, score = build_discriminator(net, head, seen, width_d, max_channel_mult)
        self.discriminator = nn.Sequential(*features, *score)
        if spectral_norm:
            self.apply_spectral_norm()


Build = GAN
