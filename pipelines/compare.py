"""Stage `compare@<model>`: evaluate the refitted default and winner on test images with the reporting classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from genlib.files import file_sha256, write_json
from pipelines.stage import FEATURE_CACHE, PREPARED_DIR, REPORTING_CLASSIFIER, ROOT, Stage, run_stage

SIDES = ("default", "tuned")


def compare(stage: Stage) -> None:
    """Evaluate the refits of one model and write runs/compare/<model>: metrics.json, and values.json of each side."""
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics, flatten_results, summary_metrics
    from genlib.registry import load

    settings, refits = stage.params.evaluate, ROOT / "runs/tune" / stage.model_name
    seeds: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
    evaluated: dict[str, Any] = {}  # by the hash of the weights: where the default won, both sides have the same
    with stage.start_run() as run:
        evaluator = Evaluator.from_folder(REPORTING_CLASSIFIER, load_dataset(PREPARED_DIR), cache=FEATURE_CACHE)
        for folder in sorted(path for side in SIDES for path in (refits / side).iterdir()):
            weights, side, seed = file_sha256(folder / "model.safetensors"), folder.parent.name, folder.name
            if weights not in evaluated:
                inputs = evaluator.test_inputs(load(folder), settings.samples, settings.seed)
                n = next(iter(inputs.values())).n
                evaluated[weights] = compute_applicable_metrics(inputs, settings.metrics)
            results = evaluated[weights]
            seeds[side][seed] = {name: asdict(result) for name, result in results.items()}
            params = {"side": side, "seed": seed}
            with run.start_nested(f"{side}-{seed}", f"{stage.title} {side} seed {seed}", params) as seed_run:
                seed_run.log(flatten_results(results), step=0)
            run.log_to_training_run(folder, flatten_results(results))
        sides = {side: summarize_seeds(list(found.values())) for side, found in seeds.items()}
        card = stage.build_card(evaluator.card, ROOT / "runs/train" / stage.model_name, n)
        write_json({"metrics": sides, "seeds": seeds, "card": card}, stage.out_dir / "metrics.json")
        for side, results in sides.items():
            values = {name: result["value"] for name, result in results.items()}
            write_json(summary_metrics(values, settings.metrics), stage.out_dir / side / "values.json")
        run.log_artifact(stage.out_dir / "metrics.json")
    for name, result in sides["default"].items():
        print(f"{stage.title}: {name} default {result['value']} tuned {sides['tuned'][name]['value']}")


def summarize_seeds(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each metric's mean over seeds with the t-interval over seeds; a single seed keeps its own interval."""
    if len(runs) == 1:
        return {name: dict(result) for name, result in runs[0].items()}
    return {name: _mean_over_seeds([run[name] for run in runs]) for name in runs[0]}


def _mean_over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The range of three seeds holds their median three times in four: it is no interval, and stays in `detail`."""
    from genlib.metrics.stats.intervals import mean_interval

    values = [result["value"] for result in results if result["value"] is not None]
    low, high = mean_interval(values) if len(values) > 1 else (None, None)
    shared = {key: results[0][key] for key in ("null", "n")}
    detail = {"seeds": len(values), "range": [min(values), max(values)] if values else None}
    return {"value": fmean(values) if values else None, "low": low, "high": high, **shared, "detail": detail}


if __name__ == "__main__":
    run_stage("compare", compare, models=lambda params: params.tune.models)
