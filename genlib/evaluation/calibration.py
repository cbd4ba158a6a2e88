"""What a verdict is held against: baselines of real images, and p-values of planted faults; simulated once for the real
images, the extractor and the number of generated images, and kept beside the cached features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genlib.data.images import StoredImages
from genlib.evaluation.baselines import Baseline, BaselineSampler, simulate
from genlib.evaluation.faults import FAULTS, FaultPlanter, make_faulty
from genlib.files import atomic_path, file_lock, keep_last_used
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import IMAGE_NEEDS, MAX_DRAWS, VERDICT_QUESTIONS, get_metric, metrics_of_question
from genlib.progress import ProgressWrapper, without_progress

MAX_CACHED = 64  # calibrations that are kept
CODE = ("../metrics", "baselines.py", "calibration.py", "faults.py", "pool.py")  # that decides the numbers


@dataclass(frozen=True)
class Calibration:
    """`planted`: of each fault and metric the p-values, float64 [shares, replicates]."""

    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    planted: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


def calibrate(
    inputs: MetricInputs,
    extract: Callable[[StoredImages], FeatureSet],
    names: Iterable[str],
    cache: Path | None = None,
    track: ProgressWrapper = without_progress,
) -> Calibration:
    """Of those of `names` that a verdict hears. `cache`: the file that holds it, if it is there."""
    if cache is None:
        return _simulate(inputs, extract, heard_metrics(names), track)
    with file_lock(cache.with_suffix(".lock")):  # of models that are evaluated at once, one simulates
        with suppress(OSError, SafetensorError, KeyError, ValueError):
            cached = _unflatten(load_file(cache))
            cache.touch()
            return cached
        found = _simulate(inputs, extract, heard_metrics(names), track)
        with suppress(OSError, SafetensorError), atomic_path(cache, shared=True) as partial:  # a full disk: without
            save_file(_flatten(found), partial)
    for kind in ("*.safetensors", "*.lock"):
        keep_last_used(cache.parent.glob(kind), MAX_CACHED)
    return found


def heard_metrics(names: Iterable[str]) -> list[str]:
    """Those of `names` that a verdict hears, and that real images can have."""
    heard = {name for question in VERDICT_QUESTIONS for name in metrics_of_question(question)}
    return [name for name in names if name in heard and get_metric(name).needs in IMAGE_NEEDS]


def calibration_key(*facts: object) -> str:
    """A name for the calibration that these facts and the code decide."""
    digest = hashlib.sha256(repr(facts).encode())
    for name in CODE:
        place = Path(__file__).parent / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _simulate(
    inputs: MetricInputs,
    extract: Callable[[StoredImages], FeatureSet],
    names: Iterable[str],
    track: ProgressWrapper,
) -> Calibration:
    faulty = make_faulty(inputs, extract)
    sampler = BaselineSampler(inputs, list(faulty.values()))
    baselines, planter = simulate(sampler, names, track), FaultPlanter(sampler, faulty)
    cheap = {name: each for name, each in baselines.items() if get_metric(name).max_draws == MAX_DRAWS}
    planted = {}
    for fault in track(list(FAULTS), "planted faults"):
        question = FAULTS[fault]
        heard = {name: cheap[name] for name in metrics_of_question(question) if name in cheap}
        if heard and planter.can_plant(fault):
            planted[fault] = planter.plant(fault, heard)
    return Calibration(baselines, planted)


def _flatten(found: Calibration) -> dict[str, Tensor]:
    tensors = {}
    for name, baseline in found.baselines.items():
        tensors[f"values/{name}"] = baseline.values
        tensors[f"contrasts/{name}"] = baseline.contrasts
    for fault, by_metric in found.planted.items():
        tensors |= {f"planted/{fault}/{name}": p for name, p in by_metric.items()}
    return {key: each.clone() for key, each in tensors.items()}


def _unflatten(tensors: Mapping[str, Tensor]) -> Calibration:
    names = [key.removeprefix("values/") for key in tensors if key.startswith("values/")]
    baselines = {name: Baseline(tensors[f"values/{name}"], tensors[f"contrasts/{name}"]) for name in names}
    if not names:
        raise ValueError("a file without baselines")
    planted: dict[str, dict[str, Tensor]] = {}
    for key, p in tensors.items():
        if key.startswith("planted/"):
            _, fault, name = key.split("/")
            planted.setdefault(fault, {})[name] = p
    return Calibration(baselines, {fault: planted[fault] for fault in FAULTS if fault in planted})
