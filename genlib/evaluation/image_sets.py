"""Where images that nothing here made, who looks at them, and the metrics meet.

Held-out real images are dealt into two halves: fakes are held against `test`, and `valid` in their place gives the
null. Training images are what the generator saw; without them, what needs them has no value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genlib.data import image_sets as pictures
from genlib.data.batches import seeded_generator
from genlib.data.image_sets import ImageSet, Shape
from genlib.data.images import Images
from genlib.data.splits import stratify
from genlib.errors import InputError
from genlib.evaluation.controls import add_controls
from genlib.evaluation.evaluator import applicable_metrics
from genlib.evaluation.extractors import MAX_COMPONENTS, Pca, list_torchvision_classifiers, load_torchvision_classifier
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.evaluation.runner import compute_metrics
from genlib.files import file_sha256
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet, shuffle_real_sets
from genlib.metrics.registry import check_metric_names, metric_names
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.registry import load, read_model_config

T = TypeVar("T")
Log = Callable[[str], None]
ProgressWrapper = Callable[[Sequence[Any], str], Iterable[Any]]

NO_TRAIN = "no training images were given: --train"
DEFAULT_EXTRACTOR_NOTE = "No judge given: principal components of pixels."
PROGRESS_CHUNK = 100  # images between two signs of progress
MAX_NAMED_FILES = 5  # unreadable files that are named one by one


def no_progress(items: Sequence[T], title: str) -> Iterable[T]:
    """The things as they are."""
    return items


@dataclass(frozen=True)
class NamedExtractor:
    """Who looks. `classes`: how many of the data's classes it knows, 0 for one that knows none; `facts` of its card."""

    network: nn.Module
    name: str
    layer: str
    num_classes: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def card(self, cached_extractor: CachedExtractor, test: FeatureSet) -> dict[str, Any]:
        """As that of a judge: name, layer, accuracy on test where that is known, and the hash of the weights."""
        try:
            accuracy = compute_accuracy(test).value if self.num_classes else None
        except UndefinedMetric:
            accuracy = None
        layer = f"{self.layer}[{test.features.shape[1]}]"
        return {
            "extractor": self.name,
            "layer": layer,
            "accuracy": accuracy,
            "sha256": cached_extractor.sha256,
            **self.extra,
        }


def resolve_extractor(spec: str | nn.Module | None, images: Images, components: int, seed: int) -> NamedExtractor:
    """Who is asked for: None or "pca", a model folder, "<name of a torchvision classifier>:<weights file>", or any
    module with `features(x)` and logits; `images` are what components would be fitted to.

    Raises:
        InputError: there is no such extractor, or it does not look at images of this shape.
    """
    if isinstance(spec, nn.Module):
        return NamedExtractor(spec, type(spec).__name__, "features")
    if spec is None or spec == "pca":
        pca = Pca(images, seed, components)
        facts = {"explained": float(pca.explained), "fitted": len(images)} | (
            {} if spec else {"note": DEFAULT_EXTRACTOR_NOTE}
        )
        return NamedExtractor(pca, "pca", "components", extra=facts)
    if Path(spec).is_dir():
        return _load_classifier(Path(spec), images.shape)
    name, colon, weights = spec.partition(":")
    if name in list_torchvision_classifiers() and not colon:
        raise InputError(f"--extractor: got {name} without its weights, expected {name}:WEIGHTS_FILE")
    return NamedExtractor(load_torchvision_classifier(name, Path(weights)), name, "penultimate")


def _load_classifier(folder: Path, shape: Shape) -> NamedExtractor:
    judge = load(folder)
    config = read_model_config(folder)
    if not hasattr(judge, "features"):
        raise InputError(f"{folder}: got a model that does not classify, expected a judge's folder")
    if tuple(config["shape"]) != shape:
        channels, height, width = config["shape"]
        size = f" (--size {height})" if channels == shape[0] and height == width else ""
        raise InputError(f"{folder}: got a judge of images {config['shape']}, expected of {list(shape)}{size}")
    digest = file_sha256(folder / "model.safetensors")
    return NamedExtractor(judge, folder.resolve().name, "features", config["classes"], {"sha256": digest})


@dataclass(frozen=True)
class ImageSetEvaluation:
    """Evidence on images that nothing here made, the card of what it was made of, and the names of the classes."""

    inputs: MetricInputs
    card: Mapping[str, Any]
    classes: Sequence[str]

    def iter_results(self, metrics: Sequence[str] | None = None) -> Iterator[tuple[str, MetricResult]]:
        """One metric after the other: those asked for, or all that judge generated images."""
        for name in metrics or applicable_metrics(self.inputs, metric_names()):
            yield name, compute_metrics(self.inputs, [name])[name]


def prepare_evaluation(
    sets: Mapping[str, ImageSet],
    spec: str | nn.Module | None = None,
    *,
    size: int | None = None,
    strict: bool = False,
    seed: int = 0,
    log: Log = lambda line: None,
    track: ProgressWrapper = no_progress,
) -> ImageSetEvaluation:
    """What the extractor `asked` for sees of the sets `real`, `fake` and, where that is known, `train`.

    All are brought to the commonest shape of the real ones, or to squares of `size`.

    Raises:
        InputError: there are fewer than two real images; or, if `strict`, shapes differ.
    """
    real = sets["real"]
    if len(real) < 2:
        raise InputError(f"--real: got {len(real)} image, expected at least 2, to be dealt into two halves")
    channels, height, width = pictures.most_common_shape(real)
    shape = (channels, size or height, size or width)
    for name, each in sets.items():
        _log_conversions(name, each, shape, size, strict, log)
    known = pictures.all_classes(each for name, each in sets.items() if name != "fake")
    images = {name: each.resized_to(shape, known) for name, each in sets.items()}
    components = max(1, min(MAX_COMPONENTS, len(real) // 4))
    who = resolve_extractor(spec, images.get("train", images["real"]), components, seed)
    classes = _usable_classes(known, who.num_classes, log)
    images = {
        name: each if _should_keep_labels(name, who, classes) else Images(each.pixels) for name, each in images.items()
    }
    look = CachedExtractor(who.network, device="cuda" if torch.cuda.is_available() else "cpu")
    evidence = _build_inputs(images, who, look, seed, track)
    judge = who.card(look, evidence.test)
    log(judge.get("note") or f"Judged by {who.name}.")
    log(f"{evidence.n} of {len(sets['fake'])} generated images are held against {evidence.n} of {len(real)} real ones")
    facts = {"shared": _count_shared(images, log), "judge": judge}
    return ImageSetEvaluation(evidence, _build_card(sets, images, evidence) | facts, classes)


def _should_keep_labels(name: str, extractor: NamedExtractor, classes: Sequence[str]) -> bool:
    """Labels of real images name the data's classes, and those of fakes the classes that were asked for, which only a
    judge that knows them can see."""
    return bool(classes) and (name != "fake" or extractor.num_classes > 0)


def _build_card(sets: Mapping[str, ImageSet], images: Mapping[str, Images], inputs: MetricInputs) -> dict[str, Any]:
    counts = {"valid": len(inputs.valid), "test": len(inputs.test), "fake": len(images["fake"])}
    return {
        **_code_version(),
        "stage": "evaluate",
        "model": "fake",
        "data": sets["real"].source,
        "data_sha256": pictures.images_sha256(images["real"]),
        "counts": {"train": len(images.get("train", ())), **counts},
        "split": "halves of the real images",
        "seed": inputs.seed,
        "n": inputs.n,
        "shape": list(images["real"].shape),
        "sources": {name: _source_card(each, images[name]) for name, each in sets.items()},
    }


def _log_conversions(name: str, image_set: ImageSet, shape: Shape, size: int | None, strict: bool, log: Log) -> None:
    """Say what was left out and what will be changed; if `strict`, refuse it, but for the sizes that `size` changes."""
    words = f"{shape[0]}x{shape[1]}x{shape[2]}"
    for reason in image_set.skipped[:MAX_NAMED_FILES]:
        log(f"--{name}: left out {reason}")
    if image_set.skipped:
        log(f"--{name}: left out {len(image_set.skipped)} of {len(image_set) + len(image_set.skipped)} files")
    odd = image_set.count_other_shapes(shape)
    wrong = odd if size is None else sum(pixels.shape[0] != shape[0] for pixels in image_set.pixels)
    if wrong and strict:
        raise InputError(f"--{name}: got {wrong} of {len(image_set)} images of another shape, expected {words}")
    if odd:
        log(f"--{name}: {odd} of {len(image_set)} images are resized or converted to {words}")


def _usable_classes(known: tuple[str, ...], num_classes: int, log: Log) -> tuple[str, ...]:
    """The names of the classes, as far as labels can be held against a judge of so many."""
    if not num_classes or not known:
        return known
    if len(known) != num_classes:
        log(f"labels are left aside: there are {len(known)} classes, and the judge knows {num_classes}")
        return ()
    return known


def _build_inputs(
    images: Mapping[str, Images],
    extractor: NamedExtractor,
    cached_extractor: CachedExtractor,
    seed: int,
    track: ProgressWrapper,
) -> MetricInputs:
    """The fakes, as many as can be held against half of the real images, and the controls."""

    def seen(some: Images, title: str) -> FeatureSet:
        rows = torch.split(torch.arange(len(some)), PROGRESS_CHUNK)
        return _concat_feature_sets([cached_extractor(some[part]) for part in track(rows, f"looking at {title}")])

    real = images["real"]
    labels = torch.zeros(len(real), dtype=torch.long) if real.labels is None else real.labels
    valid, test = stratify(labels, [len(real) // 2], seeded_generator(seed, "halves"))
    chosen = torch.randperm(len(images["fake"]), generator=seeded_generator(seed, "fake"))[: min(len(valid), len(test))]
    train = seen(images["train"], "training images") if "train" in images else MissingSet(NO_TRAIN)
    held, against = shuffle_real_sets(seen(real[valid], "real images"), seen(real[test], "real images"), seed)
    made = seen(images["fake"][chosen], "fake images")
    evidence = MetricInputs(train, held, against, made, seed, has_class_names=extractor.num_classes > 0)
    return add_controls(evidence, lambda planted: seen(planted, "controls"))


def _concat_feature_sets(feature_sets: Sequence[FeatureSet]) -> FeatureSet:
    pixels, features, probabilities = (
        torch.cat([getattr(view, part) for view in feature_sets]) for part in ("pixels", "features", "probabilities")
    )
    labels = [view.labels for view in feature_sets if view.labels is not None]
    return FeatureSet(pixels, torch.cat(labels) if labels else None, features, probabilities)


def _count_shared(images: Mapping[str, Images], log: Log) -> dict[str, int]:
    """How many images of one set are also in another, byte for byte: there should be none."""
    known = {name: [_image_digest(pixels) for pixels in each.pixels] for name, each in images.items()}
    shared = {}
    for one, other in (("real", "train"), ("fake", "real"), ("fake", "train")):
        if one in known and other in known:
            there = set(known[other])
            shared[f"{one}_in_{other}"] = count = sum(each in there for each in known[one])
            if count:
                log(f"{count} of {len(known[one])} images of --{one} are also in --{other}, byte for byte")
    return shared


def _image_digest(pixels: Tensor) -> bytes:
    return hashlib.sha256(pixels.numpy().tobytes()).digest()


def _source_card(image_set: ImageSet, images: Images) -> dict[str, Any]:
    return {
        "source": image_set.source,
        "images": len(image_set),
        "sha256": pictures.images_sha256(images),
        "classes": list(image_set.classes),
        "changed": image_set.count_other_shapes(images.shape),
        "skipped": list(image_set.skipped),
    }


def _code_version() -> dict[str, str]:
    """The version, and the commit where this is a checkout."""
    from importlib.metadata import PackageNotFoundError, version

    from genlib.provenance import commit, is_dirty

    root = Path(__file__).parents[2]
    checkout = (root / ".git").exists()
    try:
        release = version("genlib")
    except PackageNotFoundError:
        release = "unknown"
    known = {"commit": commit(root), "dirty": str(is_dirty(root)).lower()} if checkout else {"commit": "unknown"}
    return {"version": release, **known}


def render_evaluation_page(
    evaluation: ImageSetEvaluation, metric_results: Mapping[str, MetricResult], command: str
) -> str:
    """The page of one evaluation; `command` makes it again."""
    from tempfile import TemporaryDirectory

    from genlib.figures.evaluation import write_figures
    from genlib.report.page import Provenance, render_page
    from genlib.runs import ModelResults, Results, read_sheets

    card = evaluation.card
    data = {
        "name": Path(card["data"]).name,
        "source": card["data"],
        "classes": list(evaluation.classes),
        "shape": card["shape"],
        "counts": card["counts"],
        "sha256": card["data_sha256"],
    }
    tags = {f"genlib.{key}": card[key] for key in ("commit", "dirty") if key in card}
    with TemporaryDirectory() as folder:
        drawn = write_figures({"": evaluation.inputs}, metric_results, Path(folder))
        figures, sheets = {path.stem: path for path in drawn}, read_sheets(Path(folder) / "sheets")
        made = ModelResults("fake", metrics=metric_results, card=card, figures=figures, sheets=sheets)
        results = Results(data, [made])
        return render_page(results, Provenance(tags, {}, "", command))


def evaluate(
    real: Any,
    fake: Any,
    train: Any = None,
    *,
    extractor: str | nn.Module | None = None,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, MetricResult]:
    """The metrics of generated images against held-out real ones; `train` is what the generator saw.

    Each set is `Images` or an array or tensor [N, C, H, W] (or [N, H, W, C]) of uint8 or of floats in [0, 1] or
    [-1, 1]; `extractor` is spelt as on the command line, or a module with `features(x)` that gives logits.

        >>> draw = torch.Generator().manual_seed(0)
        >>> real, fake = torch.rand(100, 1, 8, 8, generator=draw), torch.rand(50, 1, 8, 8, generator=draw) ** 2
        >>> measure = evaluate(real, fake, metrics=["c2st"])["c2st"]
        >>> measure.value > measure.null, measure.n
        (True, 50)

    Raises:
        InputError: a set, the extractor or a metric is not of a expected form.
    """
    check_metric_names(metrics or (), "metrics")
    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = {name: _as_image_set(images, name) for name, images in given.items()}
    return dict(prepare_evaluation(sets, extractor, seed=seed).iter_results(metrics))


def _as_image_set(images: Any, where: str) -> ImageSet:
    if isinstance(images, Images):
        return pictures.image_set_from_array(images.pixels, where, images.labels)
    return pictures.image_set_from_array(images, where)
