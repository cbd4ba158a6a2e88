"""Does a translation keep the label, and does it look like the other domain? The model `cyclegan` of params.yaml.

Rows: no translation at all, the model as it is, with the semantic term, and without cycle and identity terms.
Each way: the share of labels kept and the Frechet distance to the target as judge B (`scorer`, trained on both domains)
sees them, and the cycle error. Judge B learnt to see past the domain, so that even untranslated images are near to the
target in its features; hence also the Frechet distance in the features of a network that tells both the class and the
domain, and the share of translations that it takes for images of the target.

Bounds: as it is, 80 % of the labels are kept either way; with the semantic term 95 %; without the cycle term fewer than
as it is.

Command: `python -m experiments.translation [--data PATH] [--state FOLDER] [--images N] [--figures FOLDER]`.
Cost: four to six minutes of one core with the default domains.
Expect: labels kept 97.5 % (A to B) and 98.1 % (B to A) as it is, 97.8 and 99.4 % with the semantic term, 85.2 and
56.3 % without the cycle term.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.results import record
from experiments.common import FinishedRows, new_parser, open_data, open_state, train_to_end
from genlib.data.dataset import Dataset
from genlib.data.images import Images
from genlib.evaluation.evaluator import Evaluator, RealFeatures, compute_applicable_metrics
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.figures.evaluation import plot_translations
from genlib.metrics.inputs import MetricInputs
from genlib.models import resnet_classifier as scorer
from genlib.objectives import classification
from genlib.params import Params, load_params
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingJob
from genlib.training.loop import train
from genlib.training.state import TrainState

SEMANTIC = {"model.judge": True, "objective.semantic": 2.0}
UNTRANSLATED = "no translation"
ROWS: dict[str, dict[str, Any]] = {
    "semantic off": {},
    "semantic on": SEMANTIC,
    "cycle off": {"objective.cycle": 0.0, "objective.identity": 0.0},
}
METRICS = ("label_preservation", "frechet", "cycle_error")
WAYS = ("_a2b", "_b2a")


class Identity(nn.Module):
    """Leaves every image as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def translate(self, x: Tensor, to: str) -> Tensor:
        return x


@dataclass(frozen=True)
class Classifiers:
    """The reporting classifier, and a network that tells both class and domain."""

    reporting: Evaluator
    domain: Evaluator

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, MetricInputs]]:
        """What the table holds of one row, and the inputs that pictures are made of."""
        inputs = self.reporting.test_inputs(model, 5000, 0)
        found = {name: each.value for name, each in compute_applicable_metrics(inputs, METRICS).items()}
        of_domain = self.domain.test_inputs(model, 5000, 0)
        found |= {
            f"told_{name}": each.value for name, each in compute_applicable_metrics(of_domain, ["frechet"]).items()
        }
        found |= {f"taken{way}": share_in_target(of_domain[way], second=way == "_a2b") for way in WAYS}
        return {name: float("nan") if value is None else value for name, value in found.items()}, inputs


def share_in_target(inputs: MetricInputs, *, second: bool) -> float:
    """The share of translations that are taken for images of the domain they should be in."""
    probabilities = inputs.generated.probabilities
    of_second = probabilities.argmax(1) >= probabilities.shape[1] // 2
    return float((of_second == second).float().mean())


def main() -> None:
    params = load_params()
    parser = new_parser(__doc__, "prepared data of two domains [those of params.yaml]")
    parser.add_argument("--images", type=int, help="instead of what params.yaml says")
    parser.add_argument("--figures", type=Path)
    args = parser.parse_args()
    with open_state(args.state) as state:
        dataset = open_data(args.data, params.data.to_config(), state)
        classifiers = cache(partial(train_classifiers, params, dataset))

        def measure(name: str) -> dict[str, float]:
            if name == UNTRANSLATED:
                return classifiers().evaluate(Identity())[0]
            changed = {"train.total_images": args.images} if args.images else {}
            began = time.process_time()
            model = train_to_end(build_job(params, "cyclegan", dataset).with_overrides(changed | ROWS[name]))
            seconds = time.process_time() - began
            row, inputs = classifiers().evaluate(model)
            if args.figures:
                plot_translations(inputs, args.figures / f"{name.replace(' ', '_')}.png")
            return row | {"seconds": round(seconds, 1)}

        finished, rows = FinishedRows(state), {}
        for name in (UNTRANSLATED, *ROWS):
            rows[name] = finished.get(f"{name}, {args.images or 'default'} images", measure, name)
            if name == UNTRANSLATED:
                print(format_line("", {column: column for column in rows[name]}))
            print(format_line(name, rows[name]), flush=True)
    record_rows(rows)


def train_classifiers(params: Params, dataset: Dataset) -> Classifiers:
    networks = train_to_end(build_job(params, "scorer", dataset)), train_domain_classifier(dataset)
    extractors = [CachedExtractor(network) for network in networks]
    return Classifiers(*(Evaluator(each, dataset, RealFeatures.extract(each, dataset), {}) for each in extractors))


def build_job(params: Params, name: str, dataset: Dataset) -> TrainingJob:
    section = params.models[name]
    return TrainingJob(name, section.model, section.objective, params.train_config(name), dataset)


def train_domain_classifier(dataset: Dataset) -> nn.Module:
    """A network that tells the class of an image of the first domain, and that of one of the second plus K."""
    assert dataset.domain_b is not None
    classes = len(dataset.classes)
    second = dataset.domain_b.train
    assert second.labels is not None
    images = dataset.train + Images(second.pixels, second.labels + classes)
    torch.manual_seed(2)
    model = scorer.Build(dataset.shape, 2 * classes, width=16)
    phases = classification.Build(shift=1).phases(model)
    state = TrainState.create(model, phases, TrainConfig(lr=2e-3))
    for _ in train(
        state,
        images,
        TrainConfig(100_000, 128, seed=2, ema=0.995, schedule="linear", decay_start=0.5, precision="float32"),
    ):
        pass
    return state.ema


def format_line(name: str, row: Mapping[str, float | str]) -> str:
    return " | ".join([f"{name:14}", *(format_cell(value) for value in row.values())])


def format_cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def record_rows(rows: Mapping[str, Mapping[str, float]]) -> None:
    """The three bounds, as rows of results.json."""
    kept = {name: min(row["label_preservation" + way] for way in WAYS) for name, row in rows.items()}
    detail = {name: {key: round(value, 4) for key, value in row.items()} for name, row in rows.items()}
    record("translation: labels kept / 80 %", kept["semantic off"] / 0.8, 1.0, at_least=True, detail=detail)
    record("translation: labels kept, semantic term / 95 %", kept["semantic on"] / 0.95, 1.0, at_least=True, detail={})
    ratio = kept["cycle off"] / kept["semantic off"]
    record("translation: labels kept without cycle / with", ratio, 0.9, at_least=False, detail={})


if __name__ == "__main__":
    main()
