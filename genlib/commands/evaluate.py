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
    from genlib.metrics.result import Measure


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
    from genlib.data.config import LARGEST_IMAGE
    from genlib.metrics.registry import check_names

    if size is not None and not 1 <= size <= LARGEST_IMAGE:
        raise InputError(f"--size: found {size}, legal: a whole number from 1 to {LARGEST_IMAGE}")
    asked = None if metrics is None else list(dict.fromkeys(metrics.split(",")))
    check_names(asked or (), "--metrics")
    for option, out in (("--json", json), ("--html", html)):
        if out is not None:
            require_writable(out, option)
    from genlib.data.image_sets import read
    from genlib.evaluation.image_sets import judged, shown
    from genlib.evaluation.verdicts import verdicts
    from genlib.metrics.result import to_json
    from genlib.progress import watched

    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = {}
    for name, path in given.items():
        watch = partial(watched, title=f"reading --{name}")
        sets[name] = read(path, f"--{name}", size=size, strict=strict, watch=watch)
    case = judged(sets, extractor, size=size, strict=strict, seed=seed, say=_say, watch=watched)
    measures = {}
    for name, measure in case.measures(asked):
        measures[name] = measure
        _say(f"{name} {measure}")
    for verdict in verdicts(measures):
        _say(str(verdict))
    if json is not None:
        write_text(dumps(to_json(measures, case.card), indent=2, allow_nan=False) + "\n", json)
        _say(f"wrote {json}")
    if html is not None:
        options = {**given, "extractor": extractor, "metrics": metrics, "size": size, "seed": seed or None}
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        write_text(shown(case, measures, shlex.join(["genlib", "evaluate", *words])), html)
        _say(f"wrote {html}")
    _track(case.card, measures, {name: str(path) for name, path in given.items()})


def _track(card: Mapping[str, Any], measures: Mapping[str, Measure], given: Mapping[str, str]) -> None:
    """As a run of the project that this is called in, if it is one."""
    from genlib.evaluation.evaluator import logged
    from genlib.metrics.result import to_json
    from genlib.tracking.single import single

    tags = {f"genlib.{key}": card[key] for key in ("stage", "commit", "dirty", "data_sha256") if key in card}
    data = {"name": card["data"], "uri": given["real"]}
    single(
        "evaluate",
        f"evaluate {given['fake']}",
        logged(measures),
        tags=tags,
        params={**given, "data": data, "seed": card["seed"], "n": card["n"]},
        notes={"metrics.json": dumps(to_json(measures, card), indent=2)},
    )


def _say(line: str) -> None:
    print(f"evaluate: {line}", flush=True)
