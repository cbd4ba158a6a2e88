"""`genlib promote`: a generator becomes a version in MLflow's registry, and champion if its numbers allow it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlib.errors import InputError

COMPARED = ("kid", "frechet", "coverage", "support", "copies")
SHARED = ("commit", "dirty", "data_sha256", "params_digest")


def promote(model: str, as_json: bool) -> int:
    """Register a generator, and make it champion if its numbers allow it."""
    from genlib import provenance
    from genlib.evaluation.evaluator import logged
    from genlib.files import file_sha256
    from genlib.registry import load
    from genlib.runs import read_model
    from genlib.tracking.mlflow import Unreachable, tracking_uri
    from genlib.tracking.model_registry import JUDGE, MEASURES, PROMOTED, WEIGHTS, Registry, from_tags, to_tags
    from genlib.tracking.promotion_checks import faults

    folder, weights = Path("runs/train") / model, Path("runs/train") / model / "model.safetensors"
    network, found = load(folder), read_model(Path("runs"), model, tuned=False)
    if not hasattr(network, "image") or not hasattr(network, "sample"):
        raise InputError(f"{folder}: found a model that decodes no codes, legal: a generator with image(z)")
    card = found.card
    if card.get("model_sha256") != file_sha256(weights):
        raise InputError(f"runs/evaluate/{model}: found no numbers of these weights, legal: after evaluate@{model}")
    judge = str((card.get("judge") or {}).get("sha256", ""))
    home = provenance.home(Path.cwd())
    name = registered(card)
    tags = {f"genlib.{key}": str(card.get(key, "")) for key in SHARED} | {
        "genlib.stage": "promote",
        "genlib.model": model,
    }
    tags |= {WEIGHTS: str(card["model_sha256"]), JUDGE: judge}
    try:
        registry = Registry(tracking_uri(home), home, name)
        version = registry.version_of(tags[WEIGHTS])
        if version is None:
            print(f"promote {model}: tracing and registering", file=sys.stderr, flush=True)
            files = [weights, folder / "config.json", Path("runs/evaluate") / model / "metrics.json"]
            facts = {"tags": tags, "metrics": logged(found.measures)}
            version = registry.add(network, files, f"promote {model}", str(card.get("data", "generators")), facts)
        best = registry.champion()
        rival = None if best is None or best[0] == version else best
        reasons = faults(found.measures, from_tags(rival[1]) if rival else None, _limits())
        if rival and rival[1].get(JUDGE) != judge:
            reasons.append(f"judge: version {rival[0]}, the champion, was judged by another; promote it anew first")
        known = to_tags({key: found.measures[key] for key in COMPARED if key in found.measures})
        registry.tell(version, tags | {MEASURES: known, PROMOTED: str(not reasons).lower()}, reasons)
        if not reasons:
            registry.crown(version)
    except Unreachable as error:
        raise InputError(f"MLFLOW_TRACKING_URI: found that {error}, legal: a server or database") from error
    _tell(model, name, version, rival[0] if rival else None, reasons, as_json)
    return 1 if reasons else 0


def registered(card: Mapping[str, Any]) -> str:
    """The registry's name for generators of one data set: only such can be held against each other."""
    data = re.sub(r"[^\w-]", "-", str(card.get("data", "data")))
    return f"{data}-{str(card.get('data_sha256', ''))[:8]}"


def _limits() -> Mapping[str, float]:
    from genlib.params import PARAMS, load_params

    return load_params().tune.limits if PARAMS.is_file() else {}


def _tell(model: str, name: str, version: str, rival: str | None, reasons: list[str], as_json: bool) -> None:
    where = f"models:/{name}/{version}"
    if as_json:
        facts = {"model": model, "uri": where, "promoted": not reasons, "champion_before": rival, "reasons": reasons}
        print(json.dumps(facts, indent=2))
        return
    for reason in reasons:
        print(f"refused: {reason}")
    if not reasons:
        print(f"{where} is models:/{name}@champion" + (f", in the place of version {rival}" if rival else ""))
