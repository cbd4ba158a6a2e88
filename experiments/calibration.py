"""Size, power and reach of the three verdicts, by simulation with real digits.

The population is MNIST at 16 pixels, 1,080 images of which train the judge (as many as the small digits have). A
replicate draws stratified `valid` and `test` sets of n images from the rest, calibrates verdicts on them, and then
judges "generators": n independent images of the population, with or without a planted fault, which is in a share of
the images or, where it says so, in all of them.

Command: `python -m experiments.calibration --data PATH [--state FOLDER] [--n 359 1000] [--replicates 20]`; PATH holds
the files of MNIST.
Cost: 2 minutes for the judge, then of one core 2 minutes a replicate of n = 359 and 5 of n = 1,000; `--state` goes on.
Expect: false alarms near 5 % for each question (found: 5, 5 and 9 % of 140 draws at n = 359, 7, 2 and 5 % of 60 at
n = 1,000); power as in the table of docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from experiments.common import FinishedRows, markdown_table, new_parser, open_data, open_state, train_to_end
from genlib.data.config import DataConfig
from genlib.data.images import StoredImages
from genlib.data.random import seeded_generator
from genlib.data.splits import stratify
from genlib.evaluation.baselines import BaselineSampler, simulate
from genlib.evaluation.calibration import Calibration, calibrate, heard_metrics
from genlib.evaluation.controls import blur_pixels
from genlib.evaluation.faults import FAULTS, noise_pixels, salt_pixels
from genlib.evaluation.pool import ImagePool
from genlib.evaluation.runner import compute_p_values
from genlib.evaluation.verdicts import compute_verdicts
from genlib.metrics.inputs import FeatureSet, MetricInputs, extract_features, shuffle_real_sets
from genlib.metrics.registry import VERDICT_QUESTIONS, metric_names
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingJob

TRAIN, POPULATION = 1080, 20_000
REAL_DRAWS, FAULT_DRAWS = 20, 5  # generators a replicate
ANSWERS = [f"{question}: {answer}" for question in ("realistic", "original", "diverse") for answer in ("no", "yes")]
COLUMNS = ["n", "images", "draws", *ANSWERS]
NEAR_PRINTED, PRINTED_DRAWS = (0.75, 1.0, 1.25), 3  # times the printed share, and generators for each
POPULATION_FAULTS = {"one image repeated": "one", "a class missing": "class"}
QUESTION_NUMBER = {question: number for number, question in enumerate(VERDICT_QUESTIONS)}
CLASS_SENSITIVE = ("frechet", "kid", "mode_kl")
Families = Mapping[str, tuple[str, float]]
FAMILIES: Families = {  # fault, share of the images
    "5 % noise": ("noise", 0.05),
    "10 % noise": ("noise", 0.1),
    "20 % blurred": ("blur", 0.2),
    "all blurred": ("blur", 1.0),
    "2 % of all pixels salt": ("salt", 1.0),
    "2 % copies": ("copies", 0.02),
    "5 % copies": ("copies", 0.05),
    "5 % shifted copies": ("shifted", 0.05),
    "20 % one image": ("one", 0.2),
    "all one image": ("one", 1.0),
}


class Population:
    """The images that everything is drawn from, the features of them and of faulty ones by `network`, each computed
    once."""

    def __init__(self, network: nn.Module, train: StoredImages, real: StoredImages) -> None:
        self.network = network
        self.train = self.extract(train)
        g = seeded_generator(0, "faults")
        pixels, train_pixels = real.pixels[:], train.pixels[:]
        moved = torch.roll(train_pixels, 1, 3)
        made = {"noise": noise_pixels(pixels[:2000], g), "blur": blur_pixels(pixels), "salt": salt_pixels(pixels, g)}
        sets = {name: self.extract(StoredImages(each)) for name, each in made.items()}
        sets |= {"copies": self.train, "shifted": self.extract(StoredImages(moved))}
        unlabelled = [replace(each, labels=None) for each in sets.values()]
        self.real = self.extract(StoredImages(real.pixels, real.labels))
        self.pool = ImagePool([replace(self.real, labels=None), *unlabelled])
        self.starts = dict(zip(sets, self.pool.starts[1:-1], strict=True))
        self.counts = {name: len(each) for name, each in sets.items()}

    def extract(self, images: StoredImages) -> FeatureSet:
        return extract_features(self.network, images)

    def spoil(self, rows: Tensor, fault: str, share: float, generator: torch.Generator) -> Tensor:
        """Images of the population `rows`, of which a share has the fault, in random order."""
        rows, count = rows.clone(), round(share * len(rows))
        if fault == "one":
            rows[:count] = rows[0].item()
        elif fault == "class":
            return self._without_classes(rows, count, generator)
        elif fault in ("blur", "salt"):
            rows[:count] += self.starts[fault]
        else:
            chosen = torch.randperm(self.counts[fault], generator=generator)[:count]
            rows[:count] = self.starts[fault] + chosen
        return rows[torch.randperm(len(rows), generator=generator)]

    def _without_classes(self, rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` images of one class, then of the next, give way to others of the classes that are left whole."""
        labels = self.real.labels
        assert labels is not None
        turn = torch.randperm(int(labels.max()) + 1, generator=generator)[labels]
        gone = turn[rows].argsort(stable=True)[:count]
        others = torch.randperm(len(labels), generator=generator)
        is_other = ~torch.isin(labels[others], labels[rows[gone]]) & ~torch.isin(others, rows)
        return rows.index_copy(0, gone, others[is_other][:count])


def _mnist_population(data: Path, state: Path) -> Population:
    test = (70_000 - 2 * TRAIN) / 70_000
    config = DataConfig("mnist", root=data, image_size=16, valid=TRAIN / 70_000, test=test)
    dataset = open_data(None, config, state)
    real = dataset.open_split("test")[torch.arange(POPULATION)]
    return Population(_train_judge(dataset, state / "judge.pt"), dataset.open_split("train"), real)


def _train_judge(dataset: Any, file: Path) -> nn.Module:
    if not file.exists():
        config = TrainConfig(total_images=100_000, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.995, seed=1)
        model, objective = {"name": "resnet_classifier", "width": 16}, {"name": "classification", "shift": 1}
        torch.save(train_to_end(TrainingJob("scorer", model, objective, config, dataset)), file)
    judge: nn.Module = torch.load(file, weights_only=False)
    return judge


def run_replicate(population: Population, n: int, seed: int) -> dict[str, Any]:
    """Answers by family and draw, the detectable shares, and whether the truth lies in the baselines' intervals."""
    g = seeded_generator(seed, "replicate", str(n))
    labels = population.real.labels
    assert labels is not None
    valid, test, rest = stratify(labels, [n, n], g)
    inputs = MetricInputs(
        population.train, *shuffle_real_sets(population.real[valid], population.real[test], seed), None, seed
    )
    inputs = replace(inputs, samples=inputs.valid[:n])
    calibration = calibrate(inputs, population.extract, heard_metrics(metric_names()))
    found = judge_generators(population, inputs, calibration, rest, FAMILIES, g)
    return found | {"at_printed": at_printed_shares(population, inputs, calibration, rest, found["detectable"], g)}


def at_printed_shares(
    population: Population,
    inputs: MetricInputs,
    calibration: Calibration,
    rest: Tensor,
    printed: Mapping[str, float | None],
    g: torch.Generator,
) -> dict[str, list[list[bool]]]:
    """Of each fault, whether it is found at NEAR_PRINTED times the printed share: a row of draws for each."""

    def is_found(fault: str, share: float) -> bool:
        rows = population.spoil(_draw(rest, inputs.n, g), POPULATION_FAULTS.get(fault, fault), share, g)
        return _answer(population, inputs, calibration, rows)[QUESTION_NUMBER[FAULTS[fault]]] == "no"

    return {
        fault: [[is_found(fault, factor * share) for _ in range(PRINTED_DRAWS)] for factor in NEAR_PRINTED]
        for fault, share in printed.items()
        if share is not None and share * max(NEAR_PRINTED) < 1
    }


def judge_generators(
    population: Population,
    inputs: MetricInputs,
    calibration: Calibration,
    rest: Tensor,
    families: Families,
    g: torch.Generator,
) -> dict[str, Any]:
    """Answers about n of the images `rest` of the population, by family and draw, and the detectable shares."""
    answers = {
        family: [_answer(population, inputs, calibration, rows) for rows in drawn]
        for family, drawn in _generators(population, rest, inputs.n, families, g)
    }
    verdicts = _verdicts(population, inputs, calibration, rest[: inputs.n])
    return {"answers": answers, "detectable": {f: s for each in verdicts for f, s in each.detectable.items()}}


def _generators(
    population: Population, rest: Tensor, n: int, families: Families, g: torch.Generator
) -> Iterator[tuple[str, list[Tensor]]]:
    yield "real", [_draw(rest, n, g) for _ in range(REAL_DRAWS)]
    for family, (fault, share) in families.items():
        yield family, [population.spoil(_draw(rest, n, g), fault, share, g) for _ in range(FAULT_DRAWS)]


def _draw(rest: Tensor, n: int, g: torch.Generator) -> Tensor:
    return rest[torch.randperm(len(rest), generator=g)[:n]]


def _verdicts(population: Population, inputs: MetricInputs, calibration: Calibration, rows: Tensor) -> Any:
    results = compute_p_values(replace(inputs, samples=population.pool.take(rows)), calibration.baselines)
    return compute_verdicts(results, {"": calibration.planted})


def _answer(population: Population, inputs: MetricInputs, calibration: Calibration, rows: Tensor) -> list[str]:
    return [verdict.answer for verdict in _verdicts(population, inputs, calibration, rows)]


def truth_inside(population: Population, n: int, seed: int) -> dict[str, Any]:
    """Of metrics that the class mix moves: the value of an independent draw, the baseline's mean and interval."""
    g = seeded_generator(seed, "truth", str(n))
    labels = population.real.labels
    assert labels is not None
    valid, test, rest = stratify(labels, [n, n], g)
    sets = shuffle_real_sets(population.real[valid], population.real[test], seed)
    inputs = MetricInputs(population.train, *sets, None, seed)
    generated = population.real[_draw(rest, n, g)]
    found = simulate(BaselineSampler(replace(inputs, samples=inputs.valid[:n])), CLASS_SENSITIVE)
    results = compute_p_values(replace(inputs, samples=generated), found)
    return {name: [results[name].value, found[name].mean, *found[name].interval] for name in found}


def summarize_truth(n: int, rows: list[dict[str, Any]]) -> list[str]:
    """Of each metric the mean of independent draws, and in how many baselines' intervals it lies."""
    cells = []
    for name in CLASS_SENSITIVE:
        truth = fmean(row[name][0] for row in rows)
        inside = sum(row[name][2] <= truth <= row[name][3] for row in rows)
        cells.append(f"{truth:.4f} ({fmean(row[name][1] for row in rows):.4f}; {inside} of {len(rows)})")
    return [f"{n:,}", *cells]


def summarize(n: int, rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Per family, how often each question is answered yes and no."""
    for family in rows[0]["answers"]:
        answers = [answer for row in rows for answer in row["answers"][family]]
        cells = [f"{sum(a[q] == word for a in answers)}" for q in range(3) for word in ("no", "yes")]
        yield [f"{n:,}", family, str(len(answers)), *cells]


def summarize_printed(rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Per fault, the share of draws in which it is found at each multiple of the printed share."""
    for fault in FAULTS:
        draws = [row["at_printed"][fault] for row in rows if fault in row["at_printed"]]
        if draws:
            found = torch.tensor(draws, dtype=torch.float64).mean((0, 2))
            yield [f"{fault} ({len(draws)} data sets)", *(f"{power:.2f}" for power in found.tolist())]


def main() -> None:
    parser = new_parser(__doc__, "the files of MNIST")
    parser.add_argument("--n", type=int, nargs="+", default=[359, 1000])
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--truth", type=int, nargs="*", default=[359, 1000, 5000], metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        population, finished = _mnist_population(args.data, state), FinishedRows(state)
        table: list[list[str]] = []
        for n in args.n:
            rows = [finished.get(f"{n} {r}", run_replicate, population, n, r) for r in range(args.replicates)]
            table += summarize(n, rows)
            shares = {fault: sorted(row["detectable"][fault] or 1 for row in rows) for fault in rows[0]["detectable"]}
            print(f"n = {n}: found with power 0.9 (median):", {f: each[len(each) // 2] for f, each in shares.items()})
            print(markdown_table(["found at", *map(str, NEAR_PRINTED)], summarize_printed(rows)), flush=True)
        truths = {
            n: [finished.get(f"t {n} {r}", truth_inside, population, n, r) for r in range(50)] for n in args.truth
        }
        print("independent draws (their baselines' mean; intervals that hold the truth)")
        print(markdown_table(["n", *CLASS_SENSITIVE], [summarize_truth(n, rows) for n, rows in truths.items()]))
        print(markdown_table(COLUMNS, table, 2))


if __name__ == "__main__":
    main()
