"""`genlib promote`: a generator becomes a version in MLflow's registry, and champion if its numbers allow it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlib.errors import InputError

CHAMPION_METRICS = ("kid", "frechet", "coverage", "support", "copies")
CARD_TAGS = ("commit", "dirty", "data_sha256", "params_digest")


def promote(model: str, as_json: bool) -> int:
    """Register a generator, and make it champion if its numbers allow it."""
    from genlib import provenance
    from genlib.evaluation.evaluator import flatten_results
    from genlib.files import file_sha256
    from genlib.registry import load
    from genlib.runs import read_model_results
    from genlib.tracking.mlflow import ServerUnreachable, tracking_uri
    from genlib.tracking.model_registry import (
        CLASSIFIER_TAG,
        PROMOTED_TAG,
        RESULTS_TAG,
        ModelRegistry,
        results_from_tags,
        results_to_tag,
    )
    from genlib.tracking.promotion_checks import failed_checks
    from genlib.tracking.run_folder import WEIGHTS_TAG

    folder, weights = Path("runs/train") / model, Path("runs/train") / model / "model.safetensors"
    network, found = load(folder), read_model_results(Path("runs"), model, with_tuning=False)
    if not hasattr(network, "decode_image") or not hasattr(network, "sample"):
        raise InputError(f"{folder}: got a model that decodes no codes, expected a generator with image(z)")
    card = found.card
    if card.get("model_sha256") != file_sha256(weights):
        raise InputError(f"runs/evaluate/{model}: got no numbers of these weights, expected after evaluate@{model}")
    judge = str((card.get("judge") or {}).get("sha256", ""))
    home = provenance.main_worktree(Path.cwd())
    name = registry_name(card)
    tags = {f"genlib.{key}": str(card.get(key, "")) for key in CARD_TAGS} | {
        "genlib.stage": "promote",
        "genlib.model": model,
    }
    tags |= {WEIGHTS_TAG: str(card["model_sha256"]), CLASSIFIER_TAG: judge}
    try:
        registry = ModelRegistry(tracking_uri(home), home, name)
        version = registry.find_version(tags[WEIGHTS_TAG])
        if version is None:
            print(f"promote {model}: tracing and registering", file=sys.stderr, flush=True)
            files = [weights, folder / "config.json", Path("runs/evaluate") / model / "metrics.json"]
            version = registry.add_version(
                network,
                files,
                f"promote {model}",
                str(card.get("data", "generators")),
                tags,
                flatten_results(found.metrics),
            )
        best = registry.champion()
        rival = None if best is None or best[0] == version else best
        reasons = failed_checks(found.metrics, results_from_tags(rival[1]) if rival else None, _load_constraints())
        if rival and rival[1].get(CLASSIFIER_TAG) != judge:
            reasons.append(f"judge: version {rival[0]}, the champion, was judged by another; promote it anew first")
        known = results_to_tag({key: found.metrics[key] for key in CHAMPION_METRICS if key in found.metrics})
        registry.set_tags(version, tags | {RESULTS_TAG: known, PROMOTED_TAG: str(not reasons).lower()}, reasons)
        if not reasons:
            registry.set_champion(version)
    except ServerUnreachable as error:
        raise InputError(f"MLFLOW_TRACKING_URI: got that {error}, expected a server or database") from error
    _print_decision(model, name, version, rival[0] if rival else None, reasons, as_json)
    return 1 if reasons else 0


def registry_name(card: Mapping[str, Any]) -> str:
    """The registry's name for generators of one data set: only such can be held against each other."""
    data = re.sub(r"[^\w-]", "-", str(card.get("data", "data")))
    return f"{data}-{str(card.get('data_sha256', ''))[:8]}"


def _load_constraints() -> Mapping[str, float]:
    from genlib.params import PARAMS, load_params

    return load_params().tune.constraints if PARAMS.is_file() else {}


def _print_decision(
    model: str, name: str, version: str, champion: str | None, reasons: list[str], as_json: bool
) -> None:
    where = f"models:/{name}/{version}"
    if as_json:
        facts = {"model": model, "uri": where, "promoted": not reasons, "champion_before": champion, "reasons": reasons}
        print(json.dumps(facts, indent=2))
        return
    for reason in reasons:
        print(f"refused: {reason}")
    if not reasons:
        print(f"{where} is models:/{name}@champion" + (f", in the place of version {champion}" if champion else ""))
