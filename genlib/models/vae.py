"""A convolutional variational autoencoder (Kingma and Welling 2013, "Auto-encoding variational Bayes")."""

from genlib.models.layers.blocks import Shape, conv_decoder, conv_encoder
from genlib.models.layers.latent_variable import LatentVariableModel, ObservationHead, PixelLikelihood, PixelVariance
from genlib.validation import require_at_least


class VAE(LatentVariableModel):
    """`pixel_likelihood`: p(x|z) of a pixel; `variance`: of a gaussian one, per pixel or one for all."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        latent: int = 16,
        width: int = 32,
        pixel_likelihood: PixelLikelihood = "gray_bce",
        variance: PixelVariance = "pixel",
    ) -> None:
        require_at_least(1, latent=latent, width=width)
        super().__init__(shape, latent, pixel_likelihood)
        self.encoder = conv_encoder(shape, width, 2 * latent)
        self.emission = ObservationHead(pixel_likelihood, variance)
        self.decoder = conv_decoder(self.emission.params_shape(shape), latent, width)


Build = VAE
