"""`pca`: principal components of pixels, which need no weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.images import AnyImages, to_float
from genlib.data.pixels import iter_pieces, select_rows
from genlib.data.random import seeded_generator
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.metrics.stats.clustering import NUM_CLUSTERS, assign_clusters, kmeans
from genlib.metrics.stats.principal_components import principal_components

MAX_COMPONENTS = 64
MAX_FIT_IMAGES = 2000  # images that components and clusters are fitted to
MAX_SIDE = 64  # pixels a side to which larger images are averaged down


def fit_pca(images: AnyImages, components: int, seed: int, facts: Mapping[str, Any]) -> NamedExtractor:
    """`facts`: further ones of its card."""
    pca = Pca(images, seed, components)
    extra = {"explained": float(pca.explained), "fitted": len(images), **facts}
    return NamedExtractor(pca, "pca", "components", extra=extra)


class Pca(nn.Module):
    """The leading principal components of pixels (Pearson 1901), and as classes soft clusters of k-means in them.

    features = (x - mean) W with W [pixels, d] orthonormal, so that distances are those of pixels within the span of the
    components. p(k|x) is that of equally likely spherical Gaussians about the centres, of the variance within clusters.
    """

    mean: Tensor
    directions: Tensor
    centres: Tensor
    variance: Tensor
    explained: Tensor

    def __init__(self, images: AnyImages, seed: int = 0, components: int = MAX_COMPONENTS) -> None:
        """Fit to at most MAX_FIT_IMAGES of `images`, with fewer components where these have no more."""
        super().__init__()
        chosen = torch.randperm(len(images), generator=seeded_generator(seed, "components"))[:MAX_FIT_IMAGES]
        fitted = select_rows(images.pixels, chosen)
        x = torch.cat([_flatten_pixels(to_float(piece)).double() for piece in iter_pieces(fitted)])
        mean = x.mean(0)
        centred = x.sub_(mean)
        directions = principal_components(centred, components)
        features = centred @ directions
        centres = kmeans(features, NUM_CLUSTERS, seed)
        within = (features - centres[assign_clusters(features, centres)]).square().mean()
        total = centred.square_().sum()
        explained = features.square().sum() / total if total > 0 else total + 1
        buffers = {"mean": mean, "directions": directions, "centres": centres, "variance": within.clamp(min=1e-6)}
        for name, buffer in {**buffers, "explained": explained}.items():
            self.register_buffer(name, buffer.float())

    def features(self, x: Tensor) -> Tensor:
        return (_flatten_pixels(x) - self.mean) @ self.directions

    def head(self, features: Tensor) -> Tensor:
        """-||f - centre||^2 / (2 variance), less what is the same for all clusters."""
        return (features @ self.centres.T - self.centres.square().sum(1) / 2) / self.variance

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def _flatten_pixels(x: Tensor) -> Tensor:
    """Images [n, C, H, W] as rows, averaged down to at most MAX_SIDE pixels a side."""
    height, width = (min(MAX_SIDE, side) for side in x.shape[2:])
    return F.adaptive_avg_pool2d(x, (height, width)).flatten(1)
