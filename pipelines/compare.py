"""Stage `compare@<model>`: what tuning bought: the refitted default and winner before judge B, on test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from genlib.files import file_sha256, write_json
from pipelines.stage import JUDGE_B, PREPARED, ROOT, VIEWS, Stage, run

SIDES = ("default", "tuned")


def compare(stage: Stage) -> None:
    """Judge the refits of one model and write runs/compare/<model>: metrics.json, and values.json of each side."""
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evaluator import Bench, headlines, logged, measure
    from genlib.metrics.result import to_json
    from genlib.registry import load

    settings, refits = stage.params.evaluate, ROOT / "runs/tune" / stage.model
    with stage.tracked() as tracked:
        tracked.courier.start()
        bench = Bench.of(JUDGE_B, load_dataset(PREPARED), cache=VIEWS)
        found: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
        known: dict[str, Any] = {}  # by their hash: where the default won, both sides have the same weights
        for folder in sorted(path for side in SIDES for path in (refits / side).iterdir()):
            weights = file_sha256(folder / "model.safetensors")
            if weights not in known:
                evidence = bench.evidence(load(folder), settings.samples, settings.seed)
                known[weights] = measure(evidence, settings.metrics), next(iter(evidence.values())).n
            measures, n = known[weights]
            side, seed = folder.parent.name, folder.name
            found[side][seed] = to_json(measures, {})["metrics"]
            run = tracked.nested(f"{side}-{seed}", f"{stage.title} {side} seed {seed}", {"side": side, "seed": seed})
            run.log(logged(measures), step=0)
            run.end()
            tracked.credit(folder, logged(measures))
        sides = {side: over_seeds(list(seeds.values())) for side, seeds in found.items()}
        result = {
            "metrics": sides,
            "seeds": found,
            "card": stage.card(bench.card, ROOT / "runs/train" / stage.model, n),
        }
        write_json(result, stage.out / "metrics.json")
        for side, judged in sides.items():
            values = {name: each["value"] for name, each in judged.items()}
            write_json(headlines(values, settings.metrics), stage.out / side / "values.json")
        tracked.run.keep(stage.out / "metrics.json")
    for name in sides["default"]:
        before, after = (sides[side][name]["value"] for side in SIDES)
        print(f"{stage.title}: {name} default {before} tuned {after}")


def over_seeds(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each metric's mean over seeds with its range; a single seed keeps its own interval."""
    if len(runs) == 1:
        return {name: dict(found) for name, found in runs[0].items()}
    return {name: _spread([run[name] for run in runs]) for name in runs[0]}


def _spread(measures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [found["value"] for found in measures if found["value"] is not None]
    known = (
        {"value": fmean(values), "low": min(values), "high": max(values)}
        if values
        else dict.fromkeys(("value", "low", "high"))
    )
    return {
        **known,
        "null": measures[0]["null"],
        "n": measures[0]["n"],
        "detail": {"seeds": len(values), "interval": "range over seeds"},
    }


if __name__ == "__main__":
    run("compare", compare, models=lambda params: params.tune.models)
