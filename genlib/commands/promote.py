"""`genlib promote`: register a generator with MLflow, and make it champion if it passes the checks."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from genlib import provenance
from genlib.errors import InputError
from genlib.evaluation.evaluator import flatten_results
from genlib.files import file_sha256
from genlib.params import PARAMS, load_params
from genlib.registry import load
from genlib.runs import ModelResults, read_model_results
from genlib.tracking import model_registry
from genlib.tracking.address import ServerUnreachable, tracking_uri
from genlib.tracking.promotion_checks import failed_checks
from genlib.tracking.run_folder import WEIGHTS_TAG

CHAMPION_METRICS = ("kid", "frechet", "coverage", "support", "copies")
CARD_TAGS = ("commit", "dirty", "data_sha256", "params_digest")


def promote(model: str, as_json: bool) -> int:
    """Register a generator, and make it champion if its numbers allow it."""
    network, results = _load_evaluated(model)
    name = registry_name(results.card)
    try:
        version, champion, reasons = _register(network, results, name)
    except ServerUnreachable as error:
        raise InputError(f"MLFLOW_TRACKING_URI: got that {error}, expected a server or database") from error
    uri = f"models:/{name}/{version}"
    if as_json:
        facts = {"model": model, "uri": uri, "promoted": not reasons, "champion_before": champion, "reasons": reasons}
        print(json.dumps(facts, indent=2))
    elif reasons:
        print(*(f"refused: {reason}" for reason in reasons), sep="\n")
    else:
        print(f"{uri} is models:/{name}@champion" + (f", in the place of version {champion}" if champion else ""))
    return 1 if reasons else 0


def registry_name(card: Mapping[str, Any]) -> str:
    """The registry's name for generators of one data set, the only ones that compare."""
    data = re.sub(r"[^\w-]", "-", str(card.get("data", "data")))
    return f"{data}-{str(card.get('data_sha256', ''))[:8]}"


def _load_evaluated(model: str) -> tuple[nn.Module, ModelResults]:
    """A generator, and the evaluation of exactly its weights."""
    folder = Path("runs/train") / model
    network, results = load(folder), read_model_results(Path("runs"), model, with_tuning=False)
    if not hasattr(network, "decode_image") or not hasattr(network, "sample"):
        raise InputError(f"{folder}: got a model that decodes no codes, expected a generator with decode_image(z)")
    if results.card.get("model_sha256") != file_sha256(folder / "model.safetensors"):
        raise InputError(f"runs/evaluate/{model}: got no numbers of these weights, expected after evaluate@{model}")
    return network, results


def _register(network: nn.Module, results: ModelResults, name: str) -> tuple[str, str | None, list[str]]:
    """The version of these weights, the champion's before, and why the version is not champion now."""
    model, card, metrics = results.name, results.card, results.first_seed
    classifier = str((card.get("judge") or {}).get("sha256", ""))
    tags = {f"genlib.{key}": str(card.get(key, "")) for key in CARD_TAGS}
    tags |= {"genlib.stage": "promote", "genlib.model": model}
    tags |= {WEIGHTS_TAG: str(card["model_sha256"]), model_registry.CLASSIFIER_TAG: classifier}
    project_dir = provenance.main_worktree(Path.cwd())
    registry = model_registry.ModelRegistry(tracking_uri(project_dir), project_dir, name)
    version = registry.find_version(tags[WEIGHTS_TAG])
    if version is None:
        print(f"promote {model}: tracing and registering", file=sys.stderr, flush=True)
        train, evaluate = Path("runs/train") / model, Path("runs/evaluate") / model
        files = [train / "model.safetensors", train / "config.json", evaluate / "metrics.json"]
        experiment = str(card.get("data", "generators"))
        version = registry.add_version(network, files, f"promote {model}", experiment, tags, flatten_results(metrics))
    champion = registry.champion()
    if champion is not None and champion[0] == version:
        champion = None
    rival_results = model_registry.results_from_tags(champion[1]) if champion else None
    reasons = failed_checks(metrics, rival_results, load_params().tune.constraints if PARAMS.is_file() else {})
    if champion and champion[1].get(model_registry.CLASSIFIER_TAG) != classifier:
        fix = "promote it again first"
        reasons.append(f"classifier: the champion, version {champion[0]}, was evaluated by another; {fix}")
    results_tag = model_registry.results_to_tag({key: metrics[key] for key in CHAMPION_METRICS if key in metrics})
    outcome = {model_registry.RESULTS_TAG: results_tag, model_registry.PROMOTED_TAG: str(not reasons).lower()}
    registry.set_tags(version, tags | outcome, reasons)
    if not reasons:
        registry.set_champion(version)
    return version, champion[0] if champion else None, reasons
