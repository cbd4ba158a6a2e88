"""`genlib evaluate`: evaluate images from anywhere by the metrics, baselines and controls of models."""

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory

from genlib.commands.fid import report_protocol
from genlib.data.config import MAX_IMAGE_SIZE
from genlib.data.image_sets import read_image_set
from genlib.errors import InputError, escape_unprintable, unknown_name
from genlib.evaluation.evaluator import flatten_results
from genlib.evaluation.extractors import load_extractor
from genlib.evaluation.image_sets import ImageSetEvaluation, prepare_evaluation
from genlib.evaluation.protocols import PROTOCOLS
from genlib.evaluation.runner import report_to_json
from genlib.evaluation.verdicts import Verdict, compute_verdicts
from genlib.files import require_writable, write_json, write_text
from genlib.metrics.aliases import EXTRACTORS, canonical_names, describe_aliases
from genlib.metrics.registry import check_metric_names
from genlib.metrics.result import MetricResult
from genlib.progress import track_progress
from genlib.provenance import main_worktree
from genlib.runs import ModelResults, Results, read_sheets
from genlib.tracking.address import require_driver, tracking_uri
from genlib.tracking.mlflow import log_run


def evaluate(
    real: Path,
    fake: Path,
    train: Path | None,
    extractor: str | None,
    protocol: str | None,
    metrics: str | None,
    json: Path | None,
    html: Path | None,
    size: int | None,
    seed: int,
    strict: bool,
) -> None:
    """Evaluate images from anywhere: realistic, original, diverse?"""
    if size is not None and not 1 <= size <= MAX_IMAGE_SIZE:
        raise InputError(f"--size: got {size}, expected a whole number from 1 to {MAX_IMAGE_SIZE}")
    if protocol is not None:
        _require_no_more(protocol, train=train, metrics=metrics, html=html, size=size)
        report_protocol("evaluate", PROTOCOLS[protocol], {"--fake": fake, "--real": real}, extractor, json, seed)
        return
    requested = _parse_metrics(metrics, extractor)
    for option, out in (("--json", json), ("--html", html)):
        if out is not None:
            require_writable(out, option)
    loaded = None if extractor is None else load_extractor(extractor) or extractor
    require_driver(tracking_uri(main_worktree(Path.cwd())))  # a wrong address is said before the work
    paths = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = {}
    for name, path in paths.items():
        track = partial(track_progress, title=f"reading --{name}")
        sets[name] = read_image_set(path, f"--{name}", size=size, strict=strict, track=track)
    evaluation = prepare_evaluation(sets, loaded, size=size, strict=strict, seed=seed, log=_log, track=track_progress)
    results = {}
    calibration = evaluation.calibrate(requested, track_progress)
    for name, result in evaluation.iter_results(requested, calibration):
        results[name] = result
        _log(f"{name} {result}")
    verdicts = compute_verdicts(results, {"": calibration.planted})
    for verdict in verdicts:
        _log(str(verdict))
    card, report = evaluation.card, report_to_json(results, verdicts, evaluation.card)
    sources = {name: escape_unprintable(path) for name, path in paths.items()}
    if json is not None:
        write_json(report, json)
        _log(f"wrote {json}")
    if html is not None:
        options = {**sources, "extractor": extractor, "metrics": metrics, "size": size, "seed": seed or None}
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        write_text(_render_page(evaluation, results, verdicts, shlex.join(["genlib", "evaluate", *words])), html)
        _log(f"wrote {html}")
    log_run(
        "evaluate",
        f"evaluate {sources['fake']}",
        flatten_results(results),
        tags={f"genlib.{key}": card[key] for key in ("stage", "commit", "dirty", "data_sha256") if key in card},
        params={**sources, "data": {"name": card["data"], "uri": sources["real"]}, "seed": seed, "n": card["n"]},
        texts={"metrics.json": dumps(report, indent=2)},
    )


def _require_no_more(protocol: str, **options: object) -> None:
    """Raises InputError for an unknown protocol, or an option that it has no use for."""
    if protocol not in PROTOCOLS:
        raise unknown_name("--protocol", protocol, PROTOCOLS)
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name}: got {value} with --protocol {protocol}, expected none: the protocol sets it")


def _parse_metrics(metrics: str | None, extractor: str | None) -> list[str] | None:
    """The canonical names, aliases being said in a line."""
    if metrics is None:
        return None
    given = metrics.split(",")
    for name in given:
        implied = EXTRACTORS.get(name, "")
        if implied and not (extractor or "").startswith(f"{implied}:"):
            raise InputError(f"--metrics: got {name} with --extractor {extractor or 'pca'}, expected {implied}:FILE")
    for line in describe_aliases(given):
        _log(line)
    requested = canonical_names(given)
    check_metric_names(requested, "--metrics")
    return requested


def _render_page(
    evaluation: ImageSetEvaluation, results: Mapping[str, MetricResult], verdicts: Sequence[Verdict], command: str
) -> str:
    """`command` reproduces the page."""
    from genlib.figures.evaluation import write_figures
    from genlib.report.page import Provenance, render_page

    card = evaluation.card
    data = {
        "name": Path(card["data"]).name,
        "source": card["data"],
        "classes": list(evaluation.classes),
        "shape": card["shape"],
        "counts": card["counts"],
        "sha256": card["data_sha256"],
    }
    tags = {f"genlib.{key}": card[key] for key in ("commit", "dirty") if key in card}
    with TemporaryDirectory() as folder:
        figures = {path.stem: path for path in write_figures({"": evaluation.inputs}, results, Path(folder))}
        sheets = read_sheets(Path(folder) / "sheets")
        model = ModelResults("fake", metrics=results, verdicts=verdicts, card=card, figures=figures, sheets=sheets)
        return render_page(Results(data, [model]), Provenance(tags, {}, "", command))


def _log(line: str) -> None:
    print(f"evaluate: {line}", flush=True)
