"""The diversity of a generator during training, to detect a collapse: quick estimates in pixels, on training images."""

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_pixels
from genlib.data.random import seeded_generator

NUM_COMPARED = 256  # generated images, and as many real ones
POOLED_SIZE = 8  # pixels a side, to which images are averaged before they are compared
K_NEAREST = 5
NEAR_FRACTION = 0.25  # of the distance at which a real image has its nearest other one: near-duplicates are nearer
MIN_CONTRAST = 1.0  # grey levels, the least unit of distances: below are images of one colour


def is_gan(model: nn.Module) -> bool:
    """Whether `model` has a discriminator and samples; a CycleGAN, which has neither name, does not count."""
    return hasattr(model, "discriminator") and hasattr(model, "sample")


def sample_diversity(model: nn.Module, real: Images) -> dict[str, float]:
    """`pixel_coverage`: share of real images with a generated one nearer than their 5th nearest other real one (after
    Naeem et al. 2020). `duplicate_rate`: see there. Empty where there are too few real images to compare with."""
    chosen = torch.randperm(len(real), generator=seeded_generator(0, "health"))[:NUM_COMPARED]
    x = pool_pixels(real.pixels[chosen.to(real.pixels.device)])
    generated = pool_pixels(to_pixels(model.sample(len(x), seed=0)))  # type: ignore[operator]
    if len(x) <= K_NEAREST:
        return {}
    radii = pairwise_distances(x.flatten(1)).kthvalue(K_NEAREST, 1).values
    covered = torch.cdist(x.flatten(1), generated.flatten(1)).amin(1) < radii
    return {"pixel_coverage": float(covered.double().mean()), "duplicate_rate": duplicate_rate(generated, x)}


def duplicate_rate(generated: Tensor, real: Tensor) -> float:
    """Share of generated images that have a near-duplicate: another one at most a quarter as far away as the nearest
    other image of a real one, in the contrast of each set:

        d(i) = min_j |x_i - x_j| / s,    s^2 = mean_i var(pixels of x_i),    d(i) <= median_j d_real(j) / 4

    Less contrast scales |x_i - x_j| and s alike, and blur nearly so: neither makes different images near-duplicates."""
    typical = nearest_in_contrast(real).median()
    return float((nearest_in_contrast(generated) <= NEAR_FRACTION * typical).double().mean())


def nearest_in_contrast(x: Tensor) -> Tensor:
    """d(i) [n] of pooled images [n, C, d]; the variance is over the d pixels, within each channel."""
    contrast = x.var(2, correction=0).mean().sqrt().clamp(min=MIN_CONTRAST)
    return pairwise_distances(x.flatten(1)).amin(1) / contrast


def pool_pixels(pixels: Tensor) -> Tensor:
    """uint8 [n, C, H, W] averaged to at most `POOLED_SIZE` pixels a side, as float32 [n, C, d]."""
    height, width = (min(POOLED_SIZE, side) for side in pixels.shape[2:])
    return nn.functional.adaptive_avg_pool2d(pixels.float(), (height, width)).flatten(2)


def pairwise_distances(x: Tensor) -> Tensor:
    """Distances [n, n] between rows, infinite from each to itself."""
    return torch.cdist(x, x).fill_diagonal_(torch.inf)
