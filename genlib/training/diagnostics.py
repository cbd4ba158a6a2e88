"""The diversity of a generator during training, to detect a collapse: quick estimates in pixels, on training images."""

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_pixels
from genlib.data.random import seeded_generator

NUM_COMPARED = 256  # generated images, and as many real ones
POOLED_SIZE = 8  # pixels a side, to which images are averaged before they are compared
K_NEAREST = 5
DUPLICATE_QUANTILE = 0.01  # share of real images that count as near-duplicates


def is_gan(model: nn.Module) -> bool:
    """Whether `model` has a discriminator and samples; a CycleGAN, which has neither name, does not count."""
    return hasattr(model, "discriminator") and hasattr(model, "sample")


def sample_diversity(model: nn.Module, real: Images) -> dict[str, float]:
    """`pixel_coverage`: share of real images with a generated one nearer than their 5th nearest other real one (after
    Naeem et al. 2020). `duplicate_rate`: share of generated images whose nearest other one is nearer than that of all
    but 1 % of real images."""
    chosen = torch.randperm(len(real), generator=seeded_generator(0, "health"))[:NUM_COMPARED]
    x = pool_pixels(real.pixels[chosen.to(real.pixels.device)])
    generated = pool_pixels(to_pixels(model.sample(len(x), seed=0)))  # type: ignore[operator]
    if len(x) <= K_NEAREST:
        return {}
    real_distances = pairwise_distances(x)
    covered = torch.cdist(x, generated).amin(1) < real_distances.kthvalue(K_NEAREST, 1).values
    duplicate_distance = real_distances.amin(1).quantile(DUPLICATE_QUANTILE)
    duplicates = pairwise_distances(generated).amin(1) < duplicate_distance
    return {"pixel_coverage": float(covered.double().mean()), "duplicate_rate": float(duplicates.double().mean())}


def pool_pixels(pixels: Tensor) -> Tensor:
    """uint8 [n, C, H, W] averaged to at most `POOLED_SIZE` pixels a side, as rows float32 [n, d]."""
    height, width = (min(POOLED_SIZE, side) for side in pixels.shape[2:])
    return nn.functional.adaptive_avg_pool2d(pixels.float(), (height, width)).flatten(1)


def pairwise_distances(x: Tensor) -> Tensor:
    """Distances [n, n] between rows, infinite from each to itself."""
    return torch.cdist(x, x).fill_diagonal_(torch.inf)
