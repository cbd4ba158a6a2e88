"""A convolutional variational autoencoder (Kingma and Welling 2013, "Auto-encoding variational Bayes")."""

from genlib.models.layers.blocks import Shape, conv_decoder, conv_encoder
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.models.layers.pixel_likelihood import MeanOutput, PixelLikelihood, PixelVariance
from genlib.validation import require_at_least


class VAE(LatentVariableModel):
    """`pixel_likelihood`: p(x|z) of a pixel, `variance`: of a gaussian one, `output`: its mean of the decoder's values;
    see layers/pixel_likelihood. `max_channel_mult`: the coarser maps have at most so many times `width` channels."""

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        latent: int = 16,
        width: int = 32,
        pixel_likelihood: PixelLikelihood = "auto",
        variance: PixelVariance = "shared",
        output: MeanOutput = "tanh",
        max_channel_mult: int = 8,
    ) -> None:
        require_at_least(1, latent=latent, width=width, max_channel_mult=max_channel_mult)
        super().__init__(shape, latent, pixel_likelihood, variance, output)
        self.encoder = conv_encoder(shape, width, 2 * latent, max_channel_mult)
        self.decoder = conv_decoder(self.emission.params_shape(shape), latent, width, max_channel_mult)


Build = VAE
