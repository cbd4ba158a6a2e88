"""`genlib evaluate`: judge images that nothing here made, by the metrics, nulls and controls that models here get."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.errors import InputError
from genlib.files import require_writable, write_text

if TYPE_CHECKING:
    from genlib.metrics.result import MetricResult


def evaluate(
    real: Path,
    fake: Path,
    train: Path | None,
    extractor: str | None,
    metrics: str | None,
    json: Path | None,
    html: Path | None,
    size: int | None,
    seed: int,
    strict: bool,
) -> None:
    """Judge images that nothing here made: real-looking, copied, all alike?"""
    from genlib.data.config import MAX_IMAGE_SIZE
    from genlib.metrics.registry import check_metric_names

    if size is not None and not 1 <= size <= MAX_IMAGE_SIZE:
        raise InputError(f"--size: got {size}, expected a whole number from 1 to {MAX_IMAGE_SIZE}")
    asked = None if metrics is None else list(dict.fromkeys(metrics.split(",")))
    check_metric_names(asked or (), "--metrics")
    for option, out in (("--json", json), ("--html", html)):
        if out is not None:
            require_writable(out, option)
    from genlib.data.image_sets import read_image_set
    from genlib.evaluation.image_sets import prepare_evaluation, render_evaluation_page
    from genlib.evaluation.runner import report_to_json
    from genlib.evaluation.verdicts import compute_verdicts
    from genlib.progress import track_progress

    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = {}
    for name, path in given.items():
        watch = partial(track_progress, title=f"reading --{name}")
        sets[name] = read_image_set(path, f"--{name}", size=size, strict=strict, track=watch)
    case = prepare_evaluation(sets, extractor, size=size, strict=strict, seed=seed, log=_log, track=track_progress)
    measures = {}
    for name, measure in case.iter_results(asked):
        measures[name] = measure
        _log(f"{name} {measure}")
    for verdict in compute_verdicts(measures):
        _log(str(verdict))
    if json is not None:
        write_text(dumps(report_to_json(measures, case.card), indent=2, allow_nan=False) + "\n", json)
        _log(f"wrote {json}")
    if html is not None:
        options = {**given, "extractor": extractor, "metrics": metrics, "size": size, "seed": seed or None}
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        write_text(render_evaluation_page(case, measures, shlex.join(["genlib", "evaluate", *words])), html)
        _log(f"wrote {html}")
    _log_run(case.card, measures, {name: str(path) for name, path in given.items()})


def _log_run(card: Mapping[str, Any], results: Mapping[str, MetricResult], sources: Mapping[str, str]) -> None:
    """As a run of the project that this is called in, if it is one."""
    from genlib.evaluation.evaluator import flatten_results
    from genlib.evaluation.runner import report_to_json
    from genlib.tracking.mlflow import log_run

    tags = {f"genlib.{key}": card[key] for key in ("stage", "commit", "dirty", "data_sha256") if key in card}
    data = {"name": card["data"], "uri": sources["real"]}
    log_run(
        "evaluate",
        f"evaluate {sources['fake']}",
        flatten_results(results),
        tags=tags,
        params={**sources, "data": data, "seed": card["seed"], "n": card["n"]},
        texts={"metrics.json": dumps(report_to_json(results, card), indent=2)},
    )


def _log(line: str) -> None:
    print(f"evaluate: {line}", flush=True)
