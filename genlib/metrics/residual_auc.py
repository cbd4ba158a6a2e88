"""Can the energies of pixels, band by band of principal components, tell generated from real images?

Classifiers' features discard what lies outside a few directions; upsampling, blur and noise show there. An image is
described by log(mean of z_i^2 over a band), z its whitened components about the training images' mean, in bands that
double in width, and by the log of the energy that the components leave over.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from genlib.data.images import to_float
from genlib.data.pixels import fill_rows, iter_pieces, select_rows
from genlib.data.random import seeded_generator
from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, metric
from genlib.metrics.stats.partitions import draw_rows
from genlib.metrics.stats.principal_components import principal_components
from genlib.metrics.stats.ranking import auroc

MAX_FIT_IMAGES = 2000
MAX_COMPONENTS = 256
FLOOR = 1e-3  # of a band's mean energy, so that an empty band has a logarithm
RIDGE = 1e-3


@dataclass(frozen=True)
class PixelBands:
    """`mean` [D], whitening `directions` [D, k], float32; `left_over`: the mean energy outside of them."""

    mean: Tensor
    directions: Tensor
    scales: Tensor
    left_over: float

    @classmethod
    def fit(cls, x: Tensor) -> "PixelBands":
        """To rows x [n, D]; at most D / 2 and n / 4 components."""
        n, d = x.shape
        mean = x.mean(0)
        directions = principal_components(x - mean, max(1, min(MAX_COMPONENTS, d // 2, n // 4)))
        scales = ((x - mean) @ directions).square().mean(0).sqrt().clamp(min=1e-6)
        energy = (x - mean).square().sum(1) - ((x - mean) @ directions).square().sum(1)
        return cls(mean, directions, scales, max(1e-12, float(energy.clamp(min=0).mean())))

    def describe(self, x: Tensor) -> Tensor:
        """float64 [n, bands + 1] of rows x."""
        centred = x - self.mean
        components = centred @ self.directions
        energy = (centred.square().sum(1) - components.square().sum(1)).clamp(min=0) / self.left_over
        z = (components / self.scales).square()
        edges = [0, *(2**i for i in range(1, 16) if 2**i < z.shape[1]), z.shape[1]]
        bands = [z[:, a:b].mean(1) for a, b in pairwise(edges)]
        return (torch.stack([*bands, energy], 1).double() + FLOOR).log()


@lru_cache(maxsize=4)
def _fit_bands(images: FeatureSet, seed: int) -> PixelBands:
    chosen = torch.randperm(len(images), generator=seeded_generator(seed, "bands"))[:MAX_FIT_IMAGES]
    return PixelBands.fit(torch.cat([_rows(piece) for piece in iter_pieces(select_rows(images.pixels, chosen))]))


def _rows(pixels: Tensor) -> Tensor:
    height, width = (min(64, side) for side in pixels.shape[2:])
    return torch.nn.functional.adaptive_avg_pool2d(to_float(pixels), (height, width)).flatten(1)


def _describe(images: FeatureSet, bands: PixelBands) -> Tensor:
    return fill_rows(((bands.describe(_rows(piece)),) for piece in iter_pieces(images.pixels)), len(images))[0]


def describe_both(inputs: MetricInputs) -> tuple[Tensor, Tensor]:
    """Log energies of generated and of real images, float64 [n, bands + 1]."""
    bands = _fit_bands(inputs.train if inputs.train.is_available else inputs.valid, inputs.seed)
    x, y = (images.per_image(_describe, bands) for images in (inputs.generated, inputs.real))
    return x, y


def mahalanobis_distance(inputs: MetricInputs) -> float:
    """Squared, of the mean energies, d' S^-1 d, S the covariance of real images (Mahalanobis 1936): unlike ranks, it
    grows with how far off a few images are."""
    x, y = describe_both(inputs)
    difference = x.mean(0) - y.mean(0)
    return float(difference @ _solve(y.T.cov(), difference))


def _solve(covariance: Tensor, difference: Tensor) -> Tensor:
    scale = covariance.diagonal().clamp(min=1e-12)
    solution: Tensor = torch.linalg.solve(covariance + RIDGE * scale.diag(), difference)
    return solution


def fold_areas(inputs: MetricInputs) -> list[tuple[float, float, float]]:
    """For each random half of the images, the area with its interval of the discriminant that the other half gives."""
    x, y = (energies[draw_rows(energies, len(energies))] for energies in describe_both(inputs))
    half = len(x) // 2
    halves = [(x[:half], y[:half]), (x[half:], y[half:])]
    return [_area(*fit, *scored) for fit, scored in (halves, halves[::-1])]


def _area(x: Tensor, y: Tensor, scored_x: Tensor, scored_y: Tensor) -> tuple[float, float, float]:
    """Fisher's (1936) linear discriminant of x against y, as a score of the others."""
    weights = _solve((x.T.cov() + y.T.cov()) / 2, x.mean(0) - y.mean(0))
    return auroc(scored_x @ weights, scored_y @ weights)


def mean_area(inputs: MetricInputs) -> float:
    return sum(area for area, *_ in fold_areas(inputs)) / 2


@metric(
    question=("Realistic?", 9),
    better="lower",
    min_images=40,
    must_detect={"noise": "higher", "blurred": "higher"},
    in_verdict=True,
    statistic=mean_area,
    tested=mahalanobis_distance,
    bounds=(0, 1),
)
def residual_auc(inputs: MetricInputs) -> MetricResult:
    """Area under the ROC curve of a cross-fitted linear discriminant on the energies of pixels in bands of principal
    components of the training images, and outside of them. 0.5 where the sets cannot be told apart, 1 where they can.

    Interval: the mean of DeLong's of both halves, which err together: near chance both are d_1' S^-1 d_2 of the
    differences d_1, d_2 of the two halves' means, up to a factor. The verdict tests the Mahalanobis distance of the
    mean energies, which sees few images that are far off.
    """
    areas = fold_areas(inputs)
    value = sum(area for area, *_ in areas) / 2
    _, low, high = (sum(parts) / 2 for parts in zip(*areas, strict=True))
    return MetricResult(value, low, high, n=inputs.n, detail={"halves": areas})
