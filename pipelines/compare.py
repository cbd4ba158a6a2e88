"""Stage `compare@<model>`: what tuning bought: the refitted default and winner before judge B, on test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from genlib.files import file_sha256, write_json
from pipelines.stage import FEATURE_CACHE, PREPARED_DIR, REPORTING_CLASSIFIER, ROOT, Stage, run_stage

SIDES = ("default", "tuned")


def compare(stage: Stage) -> None:
    """Judge the refits of one model and write runs/compare/<model>: metrics.json, and values.json of each side."""
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics, flatten_results, summary_metrics
    from genlib.metrics.result import report_to_json
    from genlib.registry import load

    settings, refits = stage.params.evaluate, ROOT / "runs/tune" / stage.model_name
    with stage.start_run() as run:
        bench = Evaluator.from_folder(REPORTING_CLASSIFIER, load_dataset(PREPARED_DIR), cache=FEATURE_CACHE)
        found: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
        known: dict[str, Any] = {}  # by their hash: where the default won, both sides have the same weights
        for folder in sorted(path for side in SIDES for path in (refits / side).iterdir()):
            weights = file_sha256(folder / "model.safetensors")
            if weights not in known:
                evidence = bench.test_inputs(load(folder), settings.samples, settings.seed)
                known[weights] = compute_applicable_metrics(evidence, settings.metrics), next(iter(evidence.values())).n
            measures, n = known[weights]
            side, seed = folder.parent.name, folder.name
            found[side][seed] = report_to_json(measures, {})["metrics"]
            with run.nested(f"{side}-{seed}", f"{stage.title} {side} seed {seed}", {"side": side, "seed": seed}) as one:
                one.log(flatten_results(measures), step=0)
            run.log_to_training_run(folder, flatten_results(measures))
        sides = {side: summarize_seeds(list(seeds.values())) for side, seeds in found.items()}
        result = {
            "metrics": sides,
            "seeds": found,
            "card": stage.build_card(bench.card, ROOT / "runs/train" / stage.model_name, n),
        }
        write_json(result, stage.out_dir / "metrics.json")
        for side, judged in sides.items():
            values = {name: each["value"] for name, each in judged.items()}
            write_json(summary_metrics(values, settings.metrics), stage.out_dir / side / "values.json")
        run.log_artifact(stage.out_dir / "metrics.json")
    for name in sides["default"]:
        before, after = (sides[side][name]["value"] for side in SIDES)
        print(f"{stage.title}: {name} default {before} tuned {after}")


def summarize_seeds(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each metric's mean over seeds with its range; a single seed keeps its own interval."""
    if len(runs) == 1:
        return {name: dict(found) for name, found in runs[0].items()}
    return {name: _mean_and_range([run[name] for run in runs]) for name in runs[0]}


def _mean_and_range(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [found["value"] for found in results if found["value"] is not None]
    known = (
        {"value": fmean(values), "low": min(values), "high": max(values)}
        if values
        else dict.fromkeys(("value", "low", "high"))
    )
    return {
        **known,
        "null": results[0]["null"],
        "n": results[0]["n"],
        "detail": {"seeds": len(values), "interval": "range over seeds"},
    }


if __name__ == "__main__":
    run_stage("compare", compare, models=lambda params: params.tune.models)
