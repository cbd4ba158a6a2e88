"""Evaluation of image sets from anywhere.

Real images are split in two halves: generated images are compared with `test`, and `valid` in their place gives the
baseline. Training images are what the generator was trained on; without them, metrics that need them have no value.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from genlib.data.image_sets import ImageSet, Shape, all_classes, image_set_from_array
from genlib.data.images import Images, StoredImages, images_sha256
from genlib.data.pixels import Pixels, fill_rows, iter_pieces
from genlib.data.random import seeded_generator
from genlib.data.splits import stratify
from genlib.errors import InputError
from genlib.evaluation.calibration import Calibration, calibrate
from genlib.evaluation.controls import add_controls
from genlib.evaluation.evaluator import applicable_metrics
from genlib.evaluation.extractors import resolve_extractor
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.pca import MAX_COMPONENTS
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet, shuffle_real_sets, shuffled_order
from genlib.metrics.registry import check_metric_names, metric_names
from genlib.metrics.result import MetricResult
from genlib.progress import ProgressWrapper, without_progress
from genlib.provenance import code_version

Log = Callable[[str], None]
ImagesByName = Mapping[str, StoredImages]

NO_TRAIN = "no training images were given: --train"
PROGRESS_CHUNK = 100  # images between two reports of progress
MAX_NAMED_FILES = 5  # unreadable files that are named one by one


class ImageSetEvaluation(NamedTuple):
    """The inputs of metrics, the card that describes their origin, the names of the classes, and the extractor."""

    inputs: MetricInputs
    card: Mapping[str, Any]
    classes: Sequence[str]
    extract: Callable[[StoredImages], FeatureSet]

    def metrics(self, requested: Sequence[str] | None = None) -> list[str]:
        """Those `requested`, or all that apply to generated images."""
        return list(requested or applicable_metrics(self.inputs, metric_names()))

    def calibrate(
        self, requested: Sequence[str] | None = None, track: ProgressWrapper = without_progress
    ) -> Calibration:
        return calibrate(self.inputs, self.extract, self.metrics(requested), track=track)

    def iter_results(
        self, requested: Sequence[str] | None, calibration: Calibration
    ) -> Iterator[tuple[str, MetricResult]]:
        """Compute metrics one by one."""
        for name in self.metrics(requested):
            yield name, compute_metrics(self.inputs, [name], calibration.baselines)[name]


def prepare_evaluation(
    sets: Mapping[str, ImageSet],
    spec: str | nn.Module | NamedExtractor | None = None,
    *,
    size: int | None = None,
    strict: bool = False,
    seed: int = 0,
    log: Log = lambda line: None,
    track: ProgressWrapper = without_progress,
) -> ImageSetEvaluation:
    """Extract the features of the sets `real`, `fake` and optionally `train` with the extractor of `spec`. All images
    are resized to the most common shape of the real ones, or to squares of `size`; `strict` refuses other shapes."""
    real = sets["real"]
    if len(real) < 2:
        raise InputError(f"--real: got {len(real)} image, expected at least 2, to be split in two halves")
    (channels, height, width), _ = real.count_shapes().most_common(1)[0]
    shape = (channels, size or height, size or width)
    for name, each in sets.items():
        _log_conversions(name, each, shape, size, strict, log)
    known = all_classes(each for name, each in sets.items() if name != "fake")
    images = {name: each.resized_to(shape, known) for name, each in sets.items()}
    components = max(1, min(MAX_COMPONENTS, len(real) // 4))
    extractor = resolve_extractor(spec, images.get("train", images["real"]), components, seed)
    classes = known
    if extractor.num_classes and known and len(known) != extractor.num_classes:
        log(f"labels are left aside: there are {len(known)} classes, and the classifier knows {extractor.num_classes}")
        classes = ()
    # Labels of generated images are the requested classes, which only a classifier of the data can check.
    if not classes:
        images = {name: StoredImages(each.pixels) for name, each in images.items()}
    elif not extractor.num_classes:
        images = _pool_rare_classes(images, log) | {"fake": StoredImages(images["fake"].pixels)}
    cached = CachedExtractor(extractor.network, device="cuda" if torch.cuda.is_available() else "cpu")
    inputs = _build_inputs(images, cached, seed, track, has_class_names=extractor.num_classes > 0)
    extractor_card = extractor.card(cached, inputs.test)
    log(f"Features by {extractor.name}. {extractor_card.get('note', '')}".rstrip())
    log(f"{inputs.n} of {len(sets['fake'])} generated images are compared with {inputs.n} of {len(real)} real ones")
    facts = {"shared": _count_shared(images, log), "judge": extractor_card}
    return ImageSetEvaluation(inputs, _build_card(sets, images, inputs) | facts, classes, cached)


def _build_card(sets: Mapping[str, ImageSet], images: ImagesByName, inputs: MetricInputs) -> dict[str, Any]:
    train, fake = len(images.get("train", ())), len(images["fake"])
    sources = {name: _source_card(each, images[name]) for name, each in sets.items()}
    return {
        **code_version(),
        "stage": "evaluate",
        "model": "fake",
        "data": sets["real"].source,
        "data_sha256": sources["real"]["sha256"],
        "counts": {"train": train, "valid": len(inputs.valid), "test": len(inputs.test), "fake": fake},
        "split": "halves of the real images",
        "seed": inputs.seed,
        "n": inputs.n,
        "shape": list(images["real"].shape),
        "sources": sources,
    }


def _source_card(image_set: ImageSet, images: StoredImages) -> dict[str, Any]:
    return {
        "source": image_set.source,
        "images": len(image_set),
        "sha256": images_sha256({"": images}),
        "classes": list(image_set.classes),
        "changed": image_set.count_other_shapes(images.shape),
        "skipped": list(image_set.skipped),
        "values": image_set.values,
    }


def _log_conversions(name: str, image_set: ImageSet, shape: Shape, size: int | None, strict: bool, log: Log) -> None:
    """Log what is left out or converted; if `strict`, refuse conversions other than those that `size` asks for."""
    expected = f"{shape[0]}x{shape[1]}x{shape[2]}"
    if image_set.values:
        log(f"--{name}: {image_set.values}")
    for reason in image_set.skipped[:MAX_NAMED_FILES]:
        log(f"--{name}: left out {reason}")
    if image_set.skipped:
        log(f"--{name}: left out {len(image_set.skipped)} of {len(image_set) + len(image_set.skipped)} files")
    converted = image_set.count_other_shapes(shape)
    of_other_channels = sum(count for each, count in image_set.count_shapes().items() if each[0] != shape[0])
    refused = converted if size is None else of_other_channels
    if refused and strict:
        raise InputError(f"--{name}: got {refused} of {len(image_set)} images of another shape, expected {expected}")
    if converted:
        log(f"--{name}: {converted} of {len(image_set)} images are resized or converted to {expected}")


def _pool_rare_classes(images: ImagesByName, log: Log) -> dict[str, StoredImages]:
    """Classes with one real image, too few for both halves, count as one class; the labels go where none is left."""
    labels = images["real"].labels
    counts = torch.zeros(0) if labels is None else labels.bincount()
    rare, num_classes = (counts == 1).nonzero().flatten(), int((counts > 0).sum())
    if not len(rare):
        return dict(images)
    log(f"--real: {len(rare)} of {num_classes} classes have one image, too few for both halves: they count as none")

    def pool(each: StoredImages) -> StoredImages:
        if each.labels is None or len(rare) == num_classes:
            return StoredImages(each.pixels)
        return StoredImages(each.pixels, each.labels.where(~torch.isin(each.labels, rare), rare[0]))

    return {name: pool(each) for name, each in images.items()}


def _build_inputs(
    images: ImagesByName,
    extractor: CachedExtractor,
    seed: int,
    track: ProgressWrapper,
    has_class_names: bool,
) -> MetricInputs:
    """As many generated images as half of the real ones, and the controls."""

    def extract(some: StoredImages, title: str) -> FeatureSet:
        rows = torch.split(torch.arange(len(some)), PROGRESS_CHUNK)
        parts = (extractor(some[part]) for part in track(rows, f"features of {title}"))
        features, probabilities = fill_rows(((each.features, each.probabilities) for each in parts), len(some))
        return FeatureSet.of_images(some, features, probabilities)

    real, fake = images["real"], images["fake"]
    labels = torch.zeros(len(real), dtype=torch.long) if real.labels is None else real.labels
    valid, test = stratify(labels, [len(real) // 2], seeded_generator(seed, "halves"))
    chosen = shuffled_order(fake, seed, "fake")[: min(len(valid), len(test))]
    train = extract(images["train"], "training images") if "train" in images else MissingSet(NO_TRAIN)
    halves = shuffle_real_sets(extract(real[valid], "real images"), extract(real[test], "real images"), seed)
    samples = extract(fake[chosen], "generated images")
    inputs = MetricInputs(train, *halves, samples, seed, has_class_names=has_class_names)
    return add_controls(inputs, lambda control: extract(control, "controls"))


def _count_shared(images: ImagesByName, log: Log) -> dict[str, int]:
    """How many images of one set are also in another, byte for byte: there should be none."""
    digests = {name: _image_digests(each.pixels) for name, each in images.items()}
    shared = {}
    for one, other in (("real", "train"), ("fake", "real"), ("fake", "train")):
        if one in digests and other in digests:
            others = set(digests[other])
            shared[f"{one}_in_{other}"] = count = sum(each in others for each in digests[one])
            if count:
                log(f"{count} of {len(digests[one])} images of --{one} are also in --{other}, byte for byte")
    return shared


def _image_digests(pixels: Pixels) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for piece in iter_pieces(pixels) for image in piece.numpy()]


def evaluate(
    real: Any,
    fake: Any,
    train: Any = None,
    *,
    extractor: str | nn.Module | None = None,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, MetricResult]:
    """The metrics of generated images against held-out real ones; `train` is what the generator was trained on.

    Each set is `Images` or an array or tensor [N, C, H, W] (or [N, H, W, C]) of uint8 or of floats in [0, 1] or
    [-1, 1]; `extractor` is spelt as on the command line, or a module with `features(x)` that gives logits.

        >>> draw = torch.Generator().manual_seed(0)
        >>> real, fake = torch.rand(100, 1, 8, 8, generator=draw), torch.rand(50, 1, 8, 8, generator=draw) ** 2
        >>> result = evaluate(real, fake, metrics=["c2st"])["c2st"]
        >>> result.value > result.null, result.n
        (True, 50)

    Raises:
        InputError: a set, the extractor or a metric is not as expected.
    """
    check_metric_names(metrics or (), "metrics")
    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = {}
    for name, images in given.items():
        pixels, labels = (images.pixels, images.labels) if isinstance(images, Images) else (images, None)
        sets[name] = image_set_from_array(pixels, name, labels)
    evaluation = prepare_evaluation(sets, extractor, seed=seed)
    return dict(evaluation.iter_results(metrics, evaluation.calibrate(metrics)))
