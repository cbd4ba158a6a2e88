"""`genlib fid`: the Frechet distance between two sets of images, or their statistics, in one line."""

from functools import partial
from pathlib import Path

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
from genlib.files import require_writable, write_json
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
    (first, a), (second, b) = paths.items()
    track = partial(track_progress, title=f"reading {first} and {second}")
    generated = read_side(first, a, protocol.generated, extractor, track)
    real = read_side(second, b, protocol.real, extractor, track)
    result, card = run_protocol(protocol, generated, real, extractor, seed=seed, track=track_progress)
    note = result.detail.get("note") or card["judge"].get("note")
    sides = describe_sides(["generated", "real"] if "real" in card["counts"] else ["generated"], card)
    ends = "" if result.low is None else f" [{result.low:.6g}, {result.high:.6g}]"
    value = "none" if result.value is None else f"{result.value:.6g}{ends}"
    why = result.detail.get("reason") or note
    print(f"{command}: {protocol.metric}@{card['judge']['extractor']} {value}, {sides}{f' ({why})' if why else ''}")
    if json is not None:
        write_json(report_to_json({protocol.metric: result}, [], card), json)
