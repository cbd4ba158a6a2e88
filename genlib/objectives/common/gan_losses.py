"""Adversarial losses, as functions of the logits D(x) of a real and D(G(z)) of a generated image. A logit l stands for
the probability sigmoid(l) of being real: -log D = softplus(-l) and -log(1 - D) = softplus(l)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

GANLossName = Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic"]


@dataclass(frozen=True)
class GANLoss:
    """The losses of D and G from logits [n] of real and generated images; a `relativistic` G needs the real ones."""

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor, Tensor], Tensor]
    relativistic: bool = False


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real) + softplus(fake)


LOSSES: dict[GANLossName, GANLoss] = {
    "minimax": GANLoss(cross_entropy, lambda real, fake: -softplus(fake)),  # Goodfellow et al. 2014, equation 1
    "non_saturating": GANLoss(cross_entropy, lambda real, fake: softplus(-fake)),  # the same, section 3
    # Mao et al. 2017, with the targets 1 for real and -1 for fake
    "least_squares": GANLoss(
        lambda real, fake: ((real - 1).square() + (fake + 1).square()) / 2, lambda real, fake: (fake - 1).square() / 2
    ),
    "hinge": GANLoss(lambda real, fake: relu(1 - real) + relu(1 + fake), lambda real, fake: -fake),  # Lim and Ye 2017
    # Arjovsky, Chintala and Bottou 2017; D must be kept smooth, by a gradient penalty or spectral normalisation
    "wasserstein": GANLoss(lambda real, fake: fake - real, lambda real, fake: -fake),
    # Jolicoeur-Martineau 2019; with R1 and R2 the loss of Huang et al. 2024, "The GAN is dead"
    "relativistic": GANLoss(lambda real, fake: softplus(fake - real), lambda real, fake: softplus(real - fake), True),
}
