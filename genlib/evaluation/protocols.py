"""Published protocols by name: which metric, of how many images, in which features.

All images of one side are held against all of the other; nothing is halved, and there is no baseline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genlib.data.image_sets import ImageSet, read_image_set
from genlib.data.images import Images
from genlib.data.pixels import Pixels, store_pixels
from genlib.data.random import seeded_generator
from genlib.errors import InputError, escape_unprintable
from genlib.evaluation.extractors import DEFAULT_NOTE, load_extractor
from genlib.evaluation.extractors.image_network import ImageNetwork, NoClasses
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.pca import MAX_COMPONENTS, fit_pca
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.evaluation.statistics_file import is_statistics_file, read_statistics
from genlib.metrics.frechet import compare_gaussians
from genlib.metrics.inputs import MetricInputs, MissingSet, extract_features
from genlib.metrics.registry import get_metric
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.gaussian import Gaussian
from genlib.progress import ProgressWrapper, without_progress
from genlib.provenance import code_version

BATCH = 128  # images that are read at a time
NOT_THERE = "no such images were given"


@dataclass(frozen=True)
class Protocol:
    """`metric`: of the registry; `extractor`: in the place of `inception`, whose file is given; `generated`, `real`:
    how many images are drawn, None for all."""

    metric: str
    extractor: str = "inception"
    generated: int | None = None
    real: int | None = None


FID = Protocol("frechet")
PROTOCOLS = {
    "fid50k_full": Protocol("frechet", generated=50_000),
    "fid10k_test": Protocol("frechet", generated=10_000, real=10_000),
    "clean_fid": Protocol("frechet", extractor="inception_clean"),
    "kid": Protocol("kid"),
    "is10": Protocol("inception_score", generated=50_000),
}


@dataclass(frozen=True)
class Side:
    """Images, or the statistics of their features alone. `option` names it in errors."""

    option: str
    path: Path
    images: ImageSet | None = None
    statistics: Gaussian | None = None


def load_protocol_extractor(protocol: Protocol, spec: str | None) -> NamedExtractor | None:
    """None for principal components. Where the protocol resizes in another way, `inception:FILE` is read as its own."""
    name, colon, argument = (spec or "pca").partition(":")
    if name == "inception":
        name = protocol.extractor
    return load_extractor(f"{name}{colon}{argument}")


def require_protocol_fits(protocol: Protocol, extractor: NamedExtractor | None, paths: Mapping[str, Path]) -> None:
    """Raises InputError where the extractor has no classes and the metric needs them, or a side has statistics alone
    and the metric needs images."""
    if protocol.metric == "inception_score" and not _knows_classes(extractor):
        name = "pca" if extractor is None else extractor.name
        raise InputError(f"--extractor: got {name}, which knows no classes, expected inception:FILE")
    known = [option for option, path in paths.items() if is_statistics_file(path)]
    if known and protocol.metric != "frechet":
        raise InputError(f"{known[0]}: got statistics, which frechet alone can use, expected images")
    if len(known) == 1 and extractor is None:
        fix = "expected the extractor that they are of: --extractor inception:FILE"
        raise InputError(f"{known[0]}: got statistics, {fix}")


def _knows_classes(extractor: NamedExtractor | None) -> bool:
    if extractor is None:
        return False
    network = extractor.network
    return not (isinstance(network, ImageNetwork) and isinstance(network.head, NoClasses))


def read_side(option: str, path: Path, count: int | None, extractor: NamedExtractor | None, track: Any) -> Side:
    """Raises InputError where it holds fewer than `count` images, or statistics of other features."""
    if is_statistics_file(path):
        return Side(option, path, statistics=_check_statistics(path, read_statistics(path), extractor))
    images = read_image_set(path, option, track=track)
    if len(images) < (least := count or 2):
        raise InputError(f"{option}: got {len(images)} images, expected at least {least}")
    return Side(option, path, images)


def _check_statistics(path: Path, found: Gaussian, extractor: NamedExtractor | None) -> Gaussian:
    if extractor is None:
        return found
    d, own = _count_features(extractor), len(found.mean)
    if own != d:
        raise InputError(f"{path}: got statistics of {own} features, expected {d}, those of {extractor.name}")
    return found


def _count_features(extractor: NamedExtractor) -> int:
    blank = torch.zeros(1, *(extractor.shape or (3, 8, 8)), dtype=torch.uint8)
    return extract_features(extractor.network, Images(blank)).features.shape[1]


def run_protocol(
    protocol: Protocol,
    generated: Side,
    real: Side,
    extractor: NamedExtractor | None,
    *,
    seed: int = 0,
    track: ProgressWrapper = without_progress,
) -> tuple[MetricResult, dict[str, Any]]:
    """The result of the protocol's metric, and the card that describes its origin."""
    sides = {"generated": generated, "real": real}
    if any(side.images is not None for side in sides.values()):
        extractor, sides = _fit_images(sides, extractor, seed)
    part = "probabilities" if protocol.metric == "inception_score" else "features"
    counts = {"generated": protocol.generated, "real": protocol.real}
    found: dict[str, Pixels | Gaussian] = {}
    for name, side in sides.items():
        if side.statistics is not None:
            found[name] = side.statistics
        elif extractor and side.images is not None and (name == "generated" or part == "features"):
            rows = _choose_rows(len(side.images), counts[name], seed, name)
            found[name] = extract_rows(extractor.network, side.images, rows, part, track, side.option)
    result = _compute(protocol.metric, found, seed)
    return result, _build_card(sides, extractor, found, seed)


def _fit_images(
    sides: Mapping[str, Side], extractor: NamedExtractor | None, seed: int
) -> tuple[NamedExtractor, dict[str, Side]]:
    """The extractor and the images in the shape that it takes: any, for a network that resizes by itself."""
    if extractor is not None and isinstance(extractor.network, ImageNetwork):
        return extractor, dict(sides)
    images = {name: side.images for name, side in sides.items() if side.images is not None}
    reference = images.get("real") or images["generated"]
    shape = extractor.shape if extractor and extractor.shape else reference.count_shapes().most_common(1)[0][0]
    fitted = {name: each.resized_to(shape) for name, each in images.items()}
    if extractor is None:
        fit_to = fitted.get("real") or fitted["generated"]
        components = max(1, min(MAX_COMPONENTS, len(fit_to) // 4))
        extractor = fit_pca(fit_to, components, seed, {"note": DEFAULT_NOTE})
    return extractor, {
        name: replace(side, images=replace(images[name], pixels=fitted[name].pixels)) if name in images else side
        for name, side in sides.items()
    }


def _choose_rows(n: int, count: int | None, seed: int, name: str) -> Tensor:
    if count is None:
        return torch.arange(n)
    return torch.randperm(n, generator=seeded_generator(seed, f"protocol {name}"))[:count].sort().values


def extract_rows(
    network: nn.Module, images: ImageSet, rows: Tensor, part: str, track: ProgressWrapper, title: str
) -> Pixels:
    """The features or probabilities of the images at `rows`, float32 [n, d], in a file where they are many."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = images.batch_rows(rows, BATCH)
    pieces = (getattr(extract_features(network, Images(images.stack(each)), device), part) for each in batches)
    first = next(pieces)

    def follow() -> Any:
        for index in track(range(len(batches)), f"features of {title}"):
            yield first if index == 0 else next(pieces)

    return store_pixels(follow(), (len(rows), first.shape[1]), torch.float32)


def _compute(name: str, found: Mapping[str, Pixels | Gaussian], seed: int) -> MetricResult:
    if name == "frechet":
        x, y = (each if isinstance(each, Gaussian) else Gaussian.of_rows(each) for each in found.values())
        if len(x.mean) != len(y.mean):
            raise InputError(f"B: got statistics of {len(y.mean)} features, expected {len(x.mean)}, as many as in A")
        return compare_gaussians(x, y)
    missing = MissingSet(NOT_THERE)
    held = {side: each[:] for side, each in found.items() if not isinstance(each, Gaussian)}
    n = min(map(len, held.values()))
    sets: dict[str, Any] = {}
    for side, rows in held.items():
        order = torch.randperm(len(rows), generator=seeded_generator(seed, f"rows {side}"))[:n]
        sets[side] = MissingSet(NOT_THERE, labels=None, features=rows[order], probabilities=rows[order])
    return get_metric(name)(MetricInputs(missing, missing, sets.get("real", missing), sets["generated"], seed))


def _build_card(
    sides: Mapping[str, Side], extractor: NamedExtractor | None, found: Mapping[str, Pixels | Gaussian], seed: int
) -> dict[str, Any]:
    d = {name: len(each.mean) if isinstance(each, Gaussian) else each.shape[1] for name, each in found.items()}
    judge: dict[str, Any] = {"extractor": "statistics"}
    if extractor is not None:
        layer, sha256 = f"{extractor.layer}[{d['generated']}]", CachedExtractor(extractor.network).sha256
        judge = {"extractor": extractor.name, "layer": layer, "accuracy": None, "sha256": sha256, **extractor.extra}
    counts = {name: 0 if isinstance(each, Gaussian) else len(each) for name, each in found.items()}
    sources = {name: _source_card(side) for name, side in sides.items()}
    return {**code_version(), "stage": "evaluate", "seed": seed, "counts": counts, "sources": sources, "judge": judge}


def _source_card(side: Side) -> dict[str, Any]:
    skipped = [] if side.images is None else list(side.images.skipped)
    return {"source": escape_unprintable(side.path), "skipped": skipped}


def describe_sides(card: Mapping[str, Any]) -> str:
    """How many images of each side there are, in words."""
    return " against ".join(f"{count:,} images" if count else "statistics" for count in card["counts"].values())
