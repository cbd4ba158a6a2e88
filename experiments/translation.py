"""Does a translation keep the label, and does it look like the other domain? The model `cyclegan` of params.yaml.

`python -m experiments.translation [--images N] [--figures FOLDER]`; four to six minutes of one core with the default
domains. Rows: no translation at all, the model as it is, with the semantic term, and without cycle and identity terms.
Each way: the share of labels kept and the Frechet distance to the target as judge B (`scorer`, trained on both domains)
sees them, and the cycle error. Judge B learnt to see past the domain, so that even untranslated images are near to the
target in its features; hence also the Frechet distance in the features of a network that tells both the class and the
domain, and the share of translations that it takes for images of the target.

Bounds: as it is, 80 % of the labels are kept either way; with the semantic term 95 %; without the cycle term fewer than
as it is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.results import record
from genlib.data.dataset import Dataset, load_dataset, prepare
from genlib.data.images import Images
from genlib.evaluation.evaluator import Evaluator, RealFeatures, compute_applicable_metrics
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.figures.translation import plot_translations
from genlib.metrics.inputs import MetricInputs
from genlib.models import resnet_classifier as scorer
from genlib.objectives import classification
from genlib.params import Params, load_params
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob
from genlib.training.loop import train
from genlib.training.state import AdamConfig, TrainState

SEMANTIC = {"model.judge": True, "objective.semantic": 2.0}
ROWS: dict[str, dict[str, Any]] = {
    "semantic off": {},
    "semantic on": SEMANTIC,
    "cycle off": {"objective.cycle": 0.0, "objective.identity": 0.0},
}
METRICS = ("label_preservation", "frechet", "cycle_error")
WAYS = ("_a2b", "_b2a")


class Still(nn.Module):
    """Leaves every image as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def translate(self, x: Tensor, to: str) -> Tensor:
        return x


@dataclass(frozen=True)
class Judges:
    """Judge B, and the network that tells class and domain."""

    b: Evaluator
    teller: Evaluator

    def read(self, model: nn.Module) -> tuple[dict[str, float], dict[str, MetricInputs]]:
        """What the table holds of one row, and the evidence that pictures are made of."""
        evidence = self.b.test_inputs(model, 5000, 0)
        found = {name: each.value for name, each in compute_applicable_metrics(evidence, METRICS).items()}
        told = self.teller.test_inputs(model, 5000, 0)
        found |= {f"told_{name}": each.value for name, each in compute_applicable_metrics(told, ["frechet"]).items()}
        found |= {f"taken{way}": taken(told[way], second=way == "_a2b") for way in WAYS}
        return {name: float("nan") if value is None else value for name, value in found.items()}, evidence


def taken(evidence: MetricInputs, *, second: bool) -> float:
    """The share of translations that are taken for images of the domain they should be in."""
    probabilities = evidence.generated.probabilities
    of_second = probabilities.argmax(1) >= probabilities.shape[1] // 2
    return float((of_second == second).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help="instead of what params.yaml says")
    parser.add_argument("--figures", type=Path)
    asked = parser.parse_args()
    params = load_params()
    changed = {"train.total_images": asked.images} if asked.images else {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(params.data.to_config(), Path(folder))
        judges = judges_of(params, Path(folder))
        rows = {"no translation": judges.read(Still())[0]}
        print(line("", {name: name for name in rows["no translation"]}))
        print(line("no translation", rows["no translation"]))
        for name, changes in ROWS.items():
            began = time.process_time()
            model = trained(job(params, "cyclegan", Path(folder)).with_overrides(changed | changes))
            seconds = time.process_time() - began
            rows[name], evidence = judges.read(model)
            rows[name]["seconds"] = round(seconds, 1)
            print(line(name, rows[name]), flush=True)
            if asked.figures:
                plot_translations(evidence, asked.figures / f"{name.replace(' ', '_')}.png")
    keep(rows)


def judges_of(params: Params, folder: Path) -> Judges:
    dataset = load_dataset(folder)
    b, teller = trained(job(params, "scorer", folder)), told(dataset)
    return Judges(
        *(
            Evaluator(CachedExtractor(judge), dataset, RealFeatures.extract(CachedExtractor(judge), dataset), {})
            for judge in (b, teller)
        )
    )


def job(params: Params, name: str, folder: Path) -> TrainingJob:
    section = params.models[name]
    return TrainingJob(name, section.model, section.objective, params.train_config(name), load_dataset(folder))


def trained(job: TrainingJob) -> nn.Module:
    """The averaged model at the end of its training."""
    *_, last = fit(job)
    assert last.model is not None
    return last.model.eval()


def told(dataset: Dataset) -> nn.Module:
    """A network that tells the class of an image of the first domain, and that of one of the second plus K."""
    assert dataset.domain_b is not None
    classes = len(dataset.classes)
    second = dataset.domain_b.train
    assert second.labels is not None
    images = dataset.train + Images(second.pixels, second.labels + classes)
    torch.manual_seed(2)
    model = scorer.Build(dataset.shape, 2 * classes, width=16)
    turns = classification.Build(shift=1).phases(model)
    state = TrainState.create(model, turns, {"model": AdamConfig(2e-3)})
    for _ in train(
        state,
        images,
        TrainConfig(100_000, 128, seed=2, ema=0.995, schedule="linear", decay_start=0.5, precision="float32"),
    ):
        pass
    return state.ema


def line(name: str, row: Mapping[str, float | str]) -> str:
    return " | ".join([f"{name:14}", *(cell(value) for value in row.values())])


def cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def keep(rows: Mapping[str, Mapping[str, float]]) -> None:
    """The three bounds, as rows of results.json."""
    kept = {name: min(row["label_preservation" + way] for way in WAYS) for name, row in rows.items()}
    detail = {name: {key: round(value, 4) for key, value in row.items()} for name, row in rows.items()}
    record("translation: labels kept / 80 %", kept["semantic off"] / 0.8, 1.0, at_least=True, detail=detail)
    record("translation: labels kept, semantic term / 95 %", kept["semantic on"] / 0.95, 1.0, at_least=True, detail={})
    ratio = kept["cycle off"] / kept["semantic off"]
    record("translation: labels kept without cycle / with", ratio, 0.9, at_least=False, detail={})


if __name__ == "__main__":
    main()
