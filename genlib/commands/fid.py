"""`genlib fid`: the Frechet distance between two sets of images, or their statistics, in one line."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from genlib.evaluation.protocols import (
    FID,
    Protocol,
    describe_sides,
    load_protocol_extractor,
    read_side,
    require_protocol_fits,
    run_protocol,
)
from genlib.evaluation.runner import report_to_json
from genlib.evaluation.statistics_file import is_statistics_file
from genlib.files import require_writable, write_json
from genlib.metrics.result import MetricResult
from genlib.progress import track_progress


def fid(a: Path, b: Path, extractor: str | None, json: Path | None) -> None:
    """Print the Frechet distance between two sets of images."""
    report_protocol("fid", FID, {"A": a, "B": b}, extractor, json)


def report_protocol(
    command: str, protocol: Protocol, paths: dict[str, Path], spec: str | None, json: Path | None, seed: int = 0
) -> None:
    """Print the result for the generated and the real images at `paths`, by the names of their options, in this order;
    write it to `json`, in the form of `metrics.json`."""
    if json is not None:
        require_writable(json, "--json")
    extractor = load_protocol_extractor(protocol, spec)
    require_protocol_fits(protocol, extractor, paths)
    counts, sides = dict(zip(paths, (protocol.generated, protocol.real), strict=True)), {}
    for option, path in sorted(paths.items(), key=lambda each: not is_statistics_file(each[1])):  # these first
        track = partial(track_progress, title=f"reading {option}")
        sides[option] = read_side(option, path, counts[option], extractor, track)
    generated, real = (sides[option] for option in paths)
    result, card = run_protocol(protocol, generated, real, extractor, seed=seed, track=track_progress)
    print(f"{command}: {protocol.metric}@{card['judge']['extractor']} {_describe(result, card)}")
    if json is not None:
        write_json(report_to_json({protocol.metric: result}, [], card), json)


def _describe(result: MetricResult, card: Mapping[str, Any]) -> str:
    """The value and its interval, the numbers of images, and in brackets what to know of them."""
    ends = "" if result.low is None else f" [{result.low:.6g}, {result.high:.6g}]"
    value = "none" if result.value is None else f"{result.value:.6g}{ends}"
    skipped = sum(len(source["skipped"]) for source in card["sources"].values())
    notes = [result.detail.get("reason"), result.detail.get("note"), card["judge"].get("note")]
    notes += [f"files that could not be read: {skipped}"] if skipped else []
    remarks = "; ".join(note for note in notes if note)
    return f"{value}, {describe_sides(card)}" + (f" ({remarks})" if remarks else "")
