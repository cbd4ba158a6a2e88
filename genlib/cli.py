"""The `genlib` command. Each command is one function; what it needs is imported inside."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genlib.errors import InputError, guarded, unknown

if TYPE_CHECKING:
    from genlib.gallery import Sheet, Subject

PREPARED, OUT = Path("data/prepared"), Path("runs/explore")


class Parser(argparse.ArgumentParser):
    """A wrong argument is a wrong input like any other."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}, legal: see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `genlib` with these arguments (the process's own by default); its exit code."""
    return guarded(lambda: _enter(arguments))


def _enter(arguments: Sequence[str] | None) -> None:
    parser = Parser(prog="genlib", description="Experiments on generative image models.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _explore_arguments(commands.add_parser("explore", help=explore.__doc__, description=explore.__doc__))
    _evaluate_arguments(commands.add_parser("evaluate", help=evaluate.__doc__, description=evaluate.__doc__))
    _track_arguments(commands.add_parser("track", help=track.__doc__, description=track.__doc__))
    asked = vars(parser.parse_args(arguments))
    if command := asked.pop("command", None):
        command(**asked)
    else:
        parser.print_help()


def _explore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/vae")
    parser.add_argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"where the pictures go [{OUT}/<model>]")
    parser.add_argument("--what", metavar="TOOL,...", help="only these tools [all that the model can do]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    parser.add_argument("--count", type=int, default=10, help="held-out images to look at [10]")
    parser.set_defaults(command=explore)


def explore(model: Path, data: Path, out: Path | None, what: str | None, seed: int, count: int) -> None:
    """Look into a model's space of codes: one picture per tool."""
    if count < 1:
        raise InputError(f"--count: found {count}, legal: a whole number of at least 1")
    from genlib.gallery import Lacking, tools

    known = tools()
    asked = list(known) if what is None else what.split(",")
    for name in asked:
        if name not in known:
            raise unknown("--what", name, known)
    subject = _subject(model, data, seed, count)
    folder = _made(out or OUT / model.resolve().name)
    for name in dict.fromkeys(asked):
        try:
            _keep(known[name](subject), folder / name)
        except Lacking as reason:
            print(f"{name}: left out, {reason}")


def _subject(model: Path, data: Path, seed: int, count: int) -> Subject:
    """The model in its folder, and images of the kind it was trained on; held-out ones in the mix of their classes."""
    import json

    from genlib.build import load
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evidence import stratified
    from genlib.gallery import CODED, Subject

    network, config, dataset = load(model), json.loads((model / "config.json").read_text()), load_dataset(data)
    if not hasattr(network, "image"):
        raise InputError(f"{model}: found {config['model']['name']}, which has no codes, legal: a model with image(z)")
    made_for, found = (tuple(config["shape"]), config["classes"]), (dataset.shape, len(dataset.classes))
    if made_for != found:
        raise InputError(f"{data}: found shape and classes {found}, legal: those of the model, {made_for}")
    order = stratified(dataset.test.labels, len(dataset.test), seed)
    return Subject(network, dataset.test[order[:count]], dataset.train[:CODED], seed)


def _made(folder: Path, option: str = "--out") -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{option}: found that {folder} cannot be made ({error.strerror}), legal: a folder") from error
    return folder


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    images = "a folder of images of any depth, an .npz or a .safetensors file"
    parser.add_argument("--real", type=Path, required=True, metavar="DIR", help=f"held-out real images: {images}")
    parser.add_argument("--fake", type=Path, required=True, metavar="DIR", help="generated images")
    parser.add_argument("--train", type=Path, metavar="DIR", help="what the generator learned from")
    parser.add_argument(
        "--extractor",
        metavar="WHO",
        help="pca, a judge's folder, or inception_v3:WEIGHTS_FILE, or any classifier of torchvision [pca]",
    )
    parser.add_argument("--metrics", metavar="NAME,...", help="only these [all that judge images]")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the numbers go, as in runs/evaluate")
    parser.add_argument("--html", type=Path, metavar="OUT", help="where the page goes")
    parser.add_argument("--size", type=int, metavar="N", help="resize all to N x N [the commonest size of the real]")
    parser.add_argument("--seed", type=int, default=0, help="of the halves and of what is drawn [0]")
    parser.add_argument("--strict", action="store_true", help="refuse what cannot be read or would be resized")
    parser.set_defaults(command=evaluate)


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
    from genlib.data.settings import LARGEST_IMAGE
    from genlib.evaluation.metric import check_names

    if size is not None and not 1 <= size <= LARGEST_IMAGE:
        raise InputError(f"--size: found {size}, legal: a whole number from 1 to {LARGEST_IMAGE}")
    asked = None if metrics is None else list(dict.fromkeys(metrics.split(",")))
    check_names(asked or (), "--metrics")
    for option, out in (("--json", json), ("--html", html)):
        if out is not None:
            _writable(out, option)
    from genlib.data.pictures import read
    from genlib.evaluation.measure import to_json
    from genlib.evaluation.verdict import verdicts
    from genlib.judge_images import judged, shown, watched

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
        _written(dumps(to_json(measures, case.card), indent=2, allow_nan=False) + "\n", json)
    if html is not None:
        options = {**given, "extractor": extractor, "metrics": metrics, "size": size, "seed": seed or None}
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        _written(shown(case, measures, shlex.join(["genlib", "evaluate", *words])), html)


def _track_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flush", action="store_true", help="send it, of unfinished runs what there is so far")
    parser.set_defaults(command=track)


def track(flush: bool) -> None:
    """Say what waits for the tracking server, or send it."""
    from genlib.tracking import provenance
    from genlib.tracking.mlflow import Unreachable, events, send, tracking_uri, waiting

    home = provenance.home(Path.cwd())
    uri, journals = tracking_uri(home), waiting(home / ".genlib" / "journal")
    for journal in journals:
        if flush:
            try:
                send(journal, uri, home)
            except Unreachable as error:
                raise InputError(f"MLFLOW_TRACKING_URI: found that {error}, legal: a server that runs") from error
        print(f"{journal.name}: sent" if flush else f"{journal.name}: {events(journal)} events wait")
    if not journals:
        print(f"nothing waits for {uri}")


def _say(line: str) -> None:
    print(f"evaluate: {line}", flush=True)


def _writable(path: Path, option: str) -> None:
    """Complain of a place that cannot be written to before the work rather than after it."""
    if path.is_dir() or not os.access(_made(path.parent, option), os.W_OK):
        raise InputError(f"{option}: found {path}, which cannot be written, legal: a file")


def _written(text: str, path: Path) -> None:
    """Under a temporary name, then renamed."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    _say(f"wrote {path}")


def _keep(sheet: Sheet, path: Path) -> None:
    """Write a sheet as a picture, and its tensors beside it where it has some."""
    from safetensors.torch import save_file

    from genlib.data.images import to_pixels
    from genlib.data.png import write_grid

    picture, codes = path.with_suffix(".png"), path.with_suffix(".safetensors")
    write_grid(to_pixels(sheet.images), picture, sheet.columns)
    print(f"{picture}: {sheet.says}")
    if sheet.codes:
        save_file({name: tensor.contiguous() for name, tensor in sheet.codes.items()}, codes)
        print(f"{codes}: {', '.join(sheet.codes)}")
