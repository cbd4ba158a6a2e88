"""What a generator in training still makes, at every report, for a tenth of a second.

Both shares are taken in pixels, on few images and on the training set, so they are no evaluation: they tell a
repertoire that is gone, and are near 1 and near 0 for one that is not.
"""

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded_generator
from genlib.data.images import Images, to_pixels

NUM_COMPARED = 256  # generated images, and as many real ones
POOLED_SIZE = 8  # pixels a side, to which images are averaged before they are compared
K_NEAREST = 5
DUPLICATE_QUANTILE = 0.01  # share of real images that have a twin


def is_gan(model: nn.Module) -> bool:
    """Whether `model` is two players whose generator can be watched."""
    return hasattr(model, "discriminator") and hasattr(model, "sample")


def sample_diversity(model: nn.Module, real: Images) -> dict[str, float]:
    """`pixel_coverage`: share of real images with a generated one nearer than their 5th nearest other real one (after
    Naeem et al. 2020). `duplicate_rate`: share of generated images with another one nearer than all but 1 % of real
    images have theirs."""
    chosen = torch.randperm(len(real), generator=seeded_generator(0, "health"))[:NUM_COMPARED]
    x = pool_pixels(real.pixels[chosen.to(real.pixels.device)])
    made = pool_pixels(to_pixels(model.sample(len(x), seed=0)))  # type: ignore[operator]
    if len(x) <= K_NEAREST:
        return {}
    among = pairwise_distances(x)
    covered = torch.cdist(x, made).amin(1) < among.kthvalue(K_NEAREST, 1).values
    twins = pairwise_distances(made).amin(1) < among.amin(1).quantile(DUPLICATE_QUANTILE)
    return {"pixel_coverage": float(covered.double().mean()), "duplicate_rate": float(twins.double().mean())}


def pool_pixels(pixels: Tensor) -> Tensor:
    """uint8 [n, C, H, W] averaged to at most SIDE pixels a side, as rows float32 [n, d]."""
    height, width = (min(POOLED_SIZE, side) for side in pixels.shape[2:])
    return nn.functional.adaptive_avg_pool2d(pixels.float(), (height, width)).flatten(1)


def pairwise_distances(x: Tensor) -> Tensor:
    """Distances [n, n] between rows, infinite from each to itself."""
    return torch.cdist(x, x).fill_diagonal_(torch.inf)
