"""Who looks at images that nothing here made: principal components of their pixels, or a network of torchvision.

Each is a `Judge`, images [n, C, H, W] in [-1, 1] to features [n, d] and logits [n, K], but none whose classes are those
of the data: the first makes up cells, the second knows those of ImageNet.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import seeded_generator
from genlib.data.images import Images, to_float
from genlib.errors import InputError, one_line
from genlib.metrics.stats.clustering import NUM_CLUSTERS, assign_clusters, kmeans

MAX_COMPONENTS = 64
MAX_FIT_IMAGES = 2000  # images that components and cells are fitted to, at the most
MAX_SIDE = 64  # pixels a side that larger images are averaged down to before
CHUNK = 32  # images that pass a network of torchvision at once
EXPECTED = "pca, a judge's folder, or NAME:WEIGHTS_FILE with the name of a classifier of torchvision"
AUX_HEAD_PREFIXES = ("AuxLogits.", "aux1.", "aux2.")  # heads of the inception nets that only training uses
INCEPTION_OPTIONS = {"init_weights": False, "transform_input": True, "aux_logits": False}


class Pca(nn.Module):
    """The leading principal components of pixels (Pearson 1901), and as classes soft cells of k-means in them.

    features = (x - mean) W with W [pixels, d] orthonormal, so that distances are those of pixels as far as the
    components reach. p(k|x) is that of equally likely spherical Gaussians about the cells' centres, of the variance
    within cells.
    """

    mean: Tensor
    directions: Tensor
    centres: Tensor
    variance: Tensor
    explained: Tensor

    def __init__(self, images: Images, seed: int = 0, components: int = MAX_COMPONENTS) -> None:
        """Fitted to `images`, or FITTED of them; of fewer components where these have no more."""
        super().__init__()
        chosen = torch.randperm(len(images), generator=seeded_generator(seed, "components"))[:MAX_FIT_IMAGES]
        x = _flatten_pixels(to_float(images.pixels[chosen])).double()
        mean = x.mean(0)
        directions = principal_components(x - mean, components)
        features = (x - mean) @ directions
        centres = kmeans(features, NUM_CLUSTERS, seed)
        within = (features - centres[assign_clusters(features, centres)]).square().mean()
        total = (x - mean).square().sum()
        self.register_buffer("mean", mean.float())
        self.register_buffer("directions", directions.float())
        self.register_buffer("centres", centres.float())
        self.register_buffer("variance", within.clamp(min=1e-6).float())
        self.register_buffer("explained", (features.square().sum() / total if total > 0 else total + 1).float())

    def features(self, x: Tensor) -> Tensor:
        return (_flatten_pixels(x) - self.mean) @ self.directions

    def head(self, features: Tensor) -> Tensor:
        """-||f - centre||^2 / (2 variance), less what is the same for all cells."""
        products = features @ self.centres.T - self.centres.square().sum(1) / 2
        return products / self.variance

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def _flatten_pixels(x: Tensor) -> Tensor:
    """Images [n, C, H, W] as rows, those of more than SIDE pixels a side averaged down to it."""
    height, width = (min(MAX_SIDE, side) for side in x.shape[2:])
    return F.adaptive_avg_pool2d(x, (height, width)).flatten(1)


def principal_components(x: Tensor, components: int) -> Tensor:
    """Orthonormal directions [d, k] of the largest variance of centred rows x [n, d], by the smaller of x'x and xx'; at
    least one, and no more than `components` or the rank. Signs: the largest entry of each is positive."""
    n, d = x.shape
    squares, vectors = torch.linalg.eigh(x.T @ x if d <= n else x @ x.T)
    kept = max(1, min(components, int((squares > squares[-1] * 1e-9).sum())))
    vectors = vectors[:, -kept:].flip(1)
    directions = F.normalize(vectors if d <= n else x.T @ vectors, dim=0)
    peaks = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return directions * torch.where(peaks < 0, -1.0, 1.0)


class TorchvisionExtractor(nn.Module):
    """A classifier of torchvision: its features are what enters its last linear layer, the head.

    Images are resized to `side` (bilinear, antialiased), grey ones given three channels, and normalised by `mean` and
    `std` [3] of intensities in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, head: nn.Linear, side: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.body, self.head, self.side = body, head, side
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([self.body(self._preprocess(some)) for some in torch.split(x, CHUNK)])

    def _preprocess(self, x: Tensor) -> Tensor:
        x = F.interpolate((x + 1) / 2, (self.side, self.side), mode="bilinear", antialias=True)
        return (x.expand(-1, 3, -1, -1) - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


def list_torchvision_classifiers() -> list[str]:
    """The classifiers of `torchvision.models`, by name."""
    from torchvision import models

    return list(models.list_models(module=models))


def load_torchvision_classifier(name: str, path: Path) -> TorchvisionExtractor:
    """The classifier `name` of torchvision with the weights that lie at `path`, a `.pth` or a `.safetensors` file of
    its state_dict; nothing is fetched, and nothing unpickled but tensors.

    Raises:
        InputError: there is no such network, or no such weights of it.
    """
    from torchvision import models

    if name not in list_torchvision_classifiers():
        near = difflib.get_close_matches(name, list_torchvision_classifiers(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"--extractor: got {name!r}{hint}, expected {EXPECTED}")
    net = models.get_model(name, weights=None, **(INCEPTION_OPTIONS if name in ("inception_v3", "googlenet") else {}))
    weights = {key: value for key, value in _read_state_dict(path).items() if not key.startswith(AUX_HEAD_PREFIXES)}
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        reason = one_line(error)
        raise InputError(
            f"{path}: got other weights than those of {name} ({reason}), expected its state_dict"
        ) from error
    look = models.get_model_weights(name).DEFAULT.transforms()
    return TorchvisionExtractor(net, _detach_head(net, name), look.crop_size[0], look.mean, look.std)


def _read_state_dict(path: Path) -> dict[str, Any]:
    expected = "a state_dict in a .pth or .safetensors file"
    if not path.is_file():
        raise InputError(f"--extractor: got no file {path}, expected {expected}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = one_line(error)
        raise InputError(f"{path}: got a file that cannot be read ({reason}), expected {expected}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: got a {type(found).__name__} that is not of tensors alone, expected {expected}")
    return found


def _detach_head(net: nn.Module, name: str) -> nn.Linear:
    """The last linear layer of `net`, which from then on gives what enters it."""
    place = [where for where, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not place:
        raise InputError(f"--extractor: got {name}, expected a network that ends in a linear layer")
    head = net.get_submodule(place[-1])
    parent, _, own = place[-1].rpartition(".")
    setattr(net.get_submodule(parent), own, nn.Identity())
    assert isinstance(head, nn.Linear)
    return head
