"""Stage `compare@<model>`: evaluate the refitted default and winner on test images with the reporting classifier."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genlib.files import file_sha256, write_json
from genlib.progress import track_progress
from pipelines.stage import FEATURE_CACHE, PREPARED_DIR, REPORTING_CLASSIFIER, ROOT, Stage, run_stage

if TYPE_CHECKING:
    from genlib.metrics.result import MetricResult

SIDES = ("default", "tuned")


def compare(stage: Stage) -> None:
    """Evaluate the refits of one model and write runs/compare/<model>: metrics.json, and values.json of each side."""
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics, flatten_results, summary_metrics
    from genlib.metrics.differences import compare_results
    from genlib.metrics.seeds import median_over_seeds
    from genlib.registry import load

    settings, refits = stage.params.evaluate, ROOT / "runs/tune" / stage.model_name
    seeds: dict[str, dict[str, Mapping[str, MetricResult]]] = {side: {} for side in SIDES}
    evaluated: dict[str, Any] = {}  # by the hash of the weights: where the default won, both sides have the same
    with stage.start_run() as run:
        evaluator = Evaluator.from_folder(REPORTING_CLASSIFIER, load_dataset(PREPARED_DIR), cache=FEATURE_CACHE)
        for folder in sorted(path for side in SIDES for path in (refits / side).iterdir()):
            weights, side, seed = file_sha256(folder / "model.safetensors"), folder.parent.name, folder.name
            if weights not in evaluated:
                inputs = evaluator.test_inputs(load(folder), settings.samples, settings.seed)
                n = next(iter(inputs.values())).n
                evaluated[weights] = compute_applicable_metrics(inputs, settings.metrics, track=track_progress)
            results = seeds[side][seed] = evaluated[weights]
            params = {"side": side, "seed": seed}
            with run.start_nested(f"{side}-{seed}", f"{stage.title} {side} seed {seed}", params) as seed_run:
                seed_run.log(flatten_results(results), step=0)
            run.log_to_training_run(folder, flatten_results(results))
        sides = {side: median_over_seeds(list(found.values())) for side, found in seeds.items()}
        shared = [name for name in sides["default"] if name in sides["tuned"]]
        differences = {name: compare_results(name, sides["default"][name], sides["tuned"][name]) for name in shared}
        card = stage.build_card(evaluator.card, ROOT / "runs/train" / stage.model_name, n)
        content = {"metrics": sides, "differences": differences, "seeds": seeds, "card": card}
        write_json(_to_plain(content), stage.out_dir / "metrics.json")
        for side, results in sides.items():
            values = {name: result.value for name, result in results.items()}
            write_json(summary_metrics(values, settings.metrics), stage.out_dir / side / "values.json")
        run.log_artifact(stage.out_dir / "metrics.json")
    for name, difference in differences.items():
        default, tuned = (sides[side][name].value for side in SIDES)
        print(f"{stage.title}: {name} default {default} tuned {tuned}: {difference.outcome}, {difference}")


def _to_plain(content: Any) -> Any:
    """Results and differences in dictionaries become dictionaries."""
    if isinstance(content, Mapping):
        return {key: _to_plain(part) for key, part in content.items()}
    return asdict(content) if hasattr(content, "__dataclass_fields__") else content


if __name__ == "__main__":
    run_stage("compare", compare, models=lambda params: params.tune.models)
