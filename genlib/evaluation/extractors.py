"""Feature extractors: a classifier in a model folder, principal components of pixels, or a network of torchvision.

Each maps images [n, C, H, W] in [-1, 1] to features [n, d] and logits [n, K]. Only a classifier knows the classes of
the data; the classes of principal components are clusters, those of torchvision are ImageNet's. Extracted features are
cached on disk by the hash of weights and images; the least recently used go.
"""

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.image_sets import Shape
from genlib.data.images import AnyImages, to_float
from genlib.data.pixels import iter_pieces, select_rows
from genlib.data.random import seeded_generator
from genlib.errors import InputError, one_line
from genlib.files import atomic_path, file_sha256
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import FeatureSet, extract_features
from genlib.metrics.result import UndefinedMetric
from genlib.metrics.stats.clustering import NUM_CLUSTERS, assign_clusters, kmeans
from genlib.metrics.stats.principal_components import principal_components
from genlib.registry import load

WEAK_BELOW = 0.75  # accuracy of a judge, corrected for chance, below which the page says that it is weak
MAX_COMPONENTS = 64
MAX_FIT_IMAGES = 2000  # images that components and clusters are fitted to
MAX_SIDE = 64  # pixels a side to which larger images are averaged down for components
CHUNK = 32  # images per forward pass of torchvision
EXPECTED = "pca, a classifier's folder, or NAME:WEIGHTS_FILE with the name of a classifier of torchvision"
DEFAULT_NOTE = "No extractor given: principal components of pixels."
AUX_HEAD_PREFIXES = ("AuxLogits.", "aux1.", "aux2.")  # heads of the inception nets that only training uses
INCEPTION_OPTIONS = {"init_weights": False, "transform_input": True, "aux_logits": False}
MAX_CACHED_SETS = 64
ExtractFn = Callable[[nn.Module, AnyImages, torch.device | str], FeatureSet]


@dataclass(frozen=True)
class CachedExtractor:
    """`network` extracts features by way of `extract`; `cache` is the folder of the features already extracted."""

    network: nn.Module
    cache: Path | None = None
    device: torch.device | str = "cpu"
    extract: ExtractFn = extract_features

    def __call__(self, images: AnyImages) -> FeatureSet:
        if self.cache is None:
            return self.extract(self.network, images, self.device)
        path = self.cache / f"{self._cache_key(images)}.safetensors"
        if cached := _read_cached(path):
            return FeatureSet.of_images(images, cached["features"], cached["probabilities"])
        extracted = self.extract(self.network, images, self.device)
        _write_cached(path, {"features": extracted.features, "probabilities": extracted.probabilities})
        return extracted

    @cached_property
    def sha256(self) -> str:
        """The hash of the network's structure and weights."""
        digest = hashlib.sha256(repr(self.network).encode())
        for name, weights in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(_tensor_bytes(weights))
        return digest.hexdigest()

    def _cache_key(self, images: AnyImages) -> str:
        facts = f"{self.sha256} {tuple(images.pixels.shape)} {torch.device(self.device).type}"
        digest = hashlib.sha256(facts.encode())
        for piece in iter_pieces(images.pixels):
            digest.update(_tensor_bytes(piece))
        return digest.hexdigest()


def _tensor_bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _read_cached(path: Path) -> dict[str, Tensor]:
    """Features and probabilities; nothing where the file cannot be read."""
    with suppress(OSError, SafetensorError):
        cached: dict[str, Tensor] = load_file(path)
        path.touch()
        return cached if cached.keys() == {"features", "probabilities"} else {}
    return {}


def _write_cached(path: Path, tensors: dict[str, Tensor]) -> None:
    with suppress(OSError, SafetensorError), atomic_path(path, shared=True) as partial:  # a full disk: without a cache
        save_file(tensors, partial)
    for _, old in sorted((_last_used_time(one), one) for one in path.parent.glob("*.safetensors"))[:-MAX_CACHED_SETS]:
        old.unlink(missing_ok=True)


def _last_used_time(path: Path) -> float:
    """When it was last used; 0 where another process has removed it meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@dataclass(frozen=True)
class NamedExtractor:
    """`num_classes`: number of the data's classes that it predicts, 0 for none; `extra`: further facts of its card."""

    network: nn.Module
    name: str
    layer: str
    num_classes: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def card(self, cached: CachedExtractor, test: FeatureSet) -> dict[str, Any]:
        """Name, layer, accuracy on `test` (None where there is none), the hash of the weights, and a `note` where it is
        a weak judge."""
        try:
            accuracy = compute_accuracy(test).value if self.num_classes else None
        except UndefinedMetric:
            accuracy = None
        layer = f"{self.layer}[{test.features.shape[1]}]"
        card = {"extractor": self.name, "layer": layer, "accuracy": accuracy, "sha256": cached.sha256, **self.extra}
        if accuracy is not None and is_weak_judge(float(accuracy), cast(Tensor, test.labels)):
            card["note"] = f"It is right on {100 * accuracy:.0f} % of the test images: treat its numbers as rough."
        return card


def is_weak_judge(accuracy: float, labels: Tensor) -> bool:
    """(accuracy - chance) / (1 - chance) < 3/4, where always the most frequent label is right by chance. The limit is
    that of the judge the field relies on: Inception v3 names 77 % of ImageNet's images (Szegedy et al. 2016)."""
    chance = float(labels.bincount().max()) / len(labels)
    return accuracy - chance < WEAK_BELOW * (1 - chance)


def resolve_extractor(spec: str | nn.Module | None, images: AnyImages, components: int, seed: int) -> NamedExtractor:
    """The extractor of `spec`: None or "pca", a model folder, "<name of a torchvision classifier>:<weights file>", or
    any module with `features(x)` and logits; components are fitted to `images`. Raises InputError where there is none
    such for images of this shape."""
    if isinstance(spec, nn.Module):
        return NamedExtractor(spec, type(spec).__name__, "features")
    if spec is None or spec == "pca":
        pca, note = Pca(images, seed, components), {} if spec else {"note": DEFAULT_NOTE}
        extra = {"explained": float(pca.explained), "fitted": len(images), **note}
        return NamedExtractor(pca, "pca", "components", extra=extra)
    if Path(spec).is_dir():
        return load_classifier(Path(spec), images.shape)
    name, colon, weights = spec.partition(":")
    if name in list_torchvision_classifiers() and not colon:
        raise InputError(f"--extractor: got {name} without its weights, expected {name}:WEIGHTS_FILE")
    return NamedExtractor(load_torchvision_classifier(name, Path(weights)), name, "penultimate")


def load_classifier(folder: Path, shape: Shape | None = None) -> NamedExtractor:
    """Raises InputError where the folder holds no model, or none that classifies images (of `shape`, where given)."""
    network = load(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not hasattr(network, "features"):
        raise InputError(f"{folder}: got a model that does not classify, expected a classifier's folder")
    if shape is not None and tuple(config["shape"]) != shape:
        channels, height, width = config["shape"]
        size = f" (--size {height})" if channels == shape[0] and height == width else ""
        raise InputError(f"{folder}: got a classifier of images {config['shape']}, expected of {list(shape)}{size}")
    extra = {"sha256": file_sha256(folder / "model.safetensors")}
    return NamedExtractor(network, folder.resolve().name, "features", config["classes"], extra)


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


class TorchvisionExtractor(nn.Module):
    """A classifier of torchvision: its features are what enters its last linear layer, the head. Images are resized to
    `side` (bilinear, antialiased), grey ones given three channels, and normalised by `mean` and `std` [3] of [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, head: nn.Linear, side: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.body, self.head, self.side = body, head, side
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def features(self, x: Tensor) -> Tensor:
        features = []
        for some in torch.split(x, CHUNK):
            resized = F.interpolate((some + 1) / 2, (self.side, self.side), mode="bilinear", antialias=True)
            features.append(self.body((resized.expand(-1, 3, -1, -1) - self.mean) / self.std))
        return torch.cat(features)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


def list_torchvision_classifiers() -> list[str]:
    from torchvision import models

    return list(models.list_models(module=models))


def load_torchvision_classifier(name: str, path: Path) -> TorchvisionExtractor:
    """With weights from a `.pth` or `.safetensors` file of its state_dict; nothing is downloaded, and only tensors are
    unpickled. Raises InputError where there is no such network, or the file does not hold its weights."""
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
        reason = f"got other weights than those of {name} ({one_line(error)})"
        raise InputError(f"{path}: {reason}, expected its state_dict") from error
    transform = models.get_model_weights(name).DEFAULT.transforms()
    return TorchvisionExtractor(net, _detach_head(net, name), transform.crop_size[0], transform.mean, transform.std)


def _read_state_dict(path: Path) -> dict[str, Any]:
    expected = "a state_dict in a .pth or .safetensors file"
    if not path.is_file():
        raise InputError(f"--extractor: got no file {path}, expected {expected}")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unzipping, unpickling and torch each have their own
        raise InputError(f"{path}: got a file that cannot be read ({one_line(error)}), expected {expected}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: got a {type(found).__name__} that is not of tensors alone, expected {expected}")
    return found


def _detach_head(net: nn.Module, name: str) -> nn.Linear:
    """The last linear layer of `net`, which is replaced by the identity there."""
    linear = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise InputError(f"--extractor: got {name}, expected a network that ends in a linear layer")
    path, head = linear.popitem()
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    return head
