"""Stage `evaluate@<model>`: evaluate a trained model on test images with the reporting classifier."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.files import file_sha256, write_json
from genlib.progress import track_progress
from pipelines.stage import FEATURE_CACHE, PREPARED_DIR, REPORTING_CLASSIFIER, ROOT, TUNING_CLASSIFIER, Stage, run_stage

if TYPE_CHECKING:
    from genlib.evaluation.calibration import Calibration
    from genlib.evaluation.evaluator import Evaluator
    from genlib.evaluation.feature_cache import ExtractFn
    from genlib.evaluation.verdicts import Verdict
    from genlib.metrics.inputs import MetricInputs
    from genlib.metrics.result import MetricResult


@dataclass(frozen=True)
class SeedEvaluation:
    """What the model of one training seed, in `folder`, got."""

    folder: Path
    inputs: dict[str, MetricInputs]
    calibrations: dict[str, Calibration]
    results: dict[str, MetricResult]
    card: dict[str, Any]

    def verdicts(self, results: dict[str, MetricResult]) -> tuple[Verdict, ...]:
        from genlib.evaluation.verdicts import compute_verdicts

        return compute_verdicts(results, {suffix: each.planted for suffix, each in self.calibrations.items()})


def evaluate(stage: Stage) -> None:
    """Write runs/evaluate/<model>: metrics.json, values.json and figures, and below `seeds` what further ones got."""
    from genlib.distributed.extract_features import feature_extractor
    from genlib.evaluation.evaluator import flatten_results, summary_metrics
    from genlib.evaluation.runner import report_to_json
    from genlib.figures.evaluation import write_figures
    from genlib.metrics.seeds import median_over_seeds

    params, folders = stage.params.evaluate, stage.seed_folders(ROOT / "runs/train" / stage.model_name)
    shutil.rmtree(stage.out_dir / "seeds", ignore_errors=True)
    (stage.out_dir / "seeds").mkdir(parents=True)  # DVC wants it, if empty
    with stage.start_run() as run, feature_extractor(params.workers) as extract:
        evaluator = build_evaluator(extract)
        first, *others = (evaluate_seed(stage, evaluator, folder) for folder in folders.values())
        for seed, each in zip(list(folders)[1:], others, strict=True):
            report = report_to_json(each.results, each.verdicts(each.results), each.card)
            write_json(report, stage.out_dir / "seeds" / str(seed) / "metrics.json")
        results = median_over_seeds([each.results for each in (first, *others)])
        verdicts, card = first.verdicts(results), first.card | {"seeds": list(folders)}
        figures = write_figures(first.inputs, results, stage.out_dir / "figures")
        report = report_to_json(results, verdicts, card)
        if others:
            report["first_seed"] = {name: asdict(result) for name, result in first.results.items()}
        write_json(report, stage.out_dir / "metrics.json")
        values = {name: result.value for name, result in results.items()}
        write_json(summary_metrics(values, params.metrics), stage.out_dir / "values.json")
        run.log(flatten_results(results), step=0)
        for each in (first, *others):
            run.log_to_training_run(each.folder, flatten_results(each.results))
        for path in [*figures, stage.out_dir / "metrics.json"]:
            run.log_artifact(path, "evaluation")
    for name, result in results.items():
        print(f"{stage.title}: {name} {result}")
    for verdict in verdicts:
        print(f"{stage.title}: {verdict}")


def build_evaluator(extract: ExtractFn) -> Evaluator:
    """With both classifiers, and the features of the real images by each."""
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evaluator import Evaluator

    dataset = load_dataset(PREPARED_DIR)
    second = Evaluator.from_folder(TUNING_CLASSIFIER, dataset, cache=FEATURE_CACHE, extract=extract)
    return Evaluator.from_folder(
        REPORTING_CLASSIFIER, dataset, second_evaluator=second, cache=FEATURE_CACHE, extract=extract
    )


def evaluate_seed(stage: Stage, evaluator: Evaluator, folder: Path) -> SeedEvaluation:
    """The model in `folder`, with the answers of people to its images."""
    from genlib.evaluation.evaluator import compute_applicable_metrics
    from genlib.human.answers import read_answers
    from genlib.human.questions import WEIGHTS_ID_DIGITS
    from genlib.registry import load

    params = stage.params.evaluate
    inputs = evaluator.test_inputs(load(folder), params.samples, params.seed)
    direction, first = next(iter(inputs.items()))  # of the images that `sample` gives, which raters see
    weights_id = file_sha256(folder / "model.safetensors")[:WEIGHTS_ID_DIGITS]
    answers = read_answers(ROOT / "data/ratings" / f"{stage.model_name}.csv")
    ratings = tuple(answer for answer in answers if answer.item.startswith(weights_id))
    inputs[direction] = replace(first, ratings=ratings)
    calibrations = evaluator.calibrate(inputs, params.metrics)
    results = compute_applicable_metrics(inputs, params.metrics, calibrations, track_progress)
    second = evaluator.second_evaluator
    card = stage.build_card(evaluator.card, folder, first.n) | {"second_judge": second.card if second else {}}
    return SeedEvaluation(folder, inputs, calibrations, results, card)


if __name__ == "__main__":
    run_stage("evaluate", evaluate, models=lambda params: list(params.models))
