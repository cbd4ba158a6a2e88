"""The `genlib` command. Each command is one function; what it needs is imported inside."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genlib.errors import InputError, guarded, unknown

if TYPE_CHECKING:
    from genlib.gallery import Sheet, Subject

PREPARED, OUT, SAMPLES = Path("data/prepared"), Path("runs/explore"), Path("runs/sample")


class Parser(argparse.ArgumentParser):
    """A wrong argument is a wrong input like any other."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}, legal: see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `genlib` with these arguments (the process's own by default); its exit code."""
    return guarded(lambda: _enter(arguments))


def _enter(arguments: Sequence[str] | None) -> None:
    asked = vars(_parser().parse_args(arguments))
    command, debug = asked.pop("command"), asked.pop("debug")
    try:
        command(**asked)
    except Exception:
        if debug:
            traceback.print_exc()
        raise


def _parser() -> Parser:
    """Commands stand in groups, each with the first line of its docstring."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="genlib", description="Experiments on generative image models.", formatter_class=raw)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.set_defaults(command=lambda: parser.print_help())
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", help="one of these; each has a --help")
    lines = ["Stages run by `make repro`, or one by one: python -m pipelines.train gan"]
    for group, members in GROUPS.items():
        lines += ["", f"{group}:"]
        for command, adds in members:
            name, says = command.__name__, str(command.__doc__)
            of_command = commands.add_parser(name, description=says)
            adds(of_command)
            of_command.set_defaults(command=command)
            lines.append(f"  {name:<12}{says.splitlines()[0]}")
    parser.epilog = "\n".join(lines)
    return parser


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/gan")
    parser.add_argument("--count", type=int, default=64, help="images [64]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    parser.add_argument("--labels", metavar="K,...", help="classes to ask a conditional model for, in turn")
    parser.add_argument("--truncation", type=float, metavar="T", help="keep z within -T to T: more typical, more alike")
    parser.add_argument(
        "--out", type=Path, metavar="OUT", help="a .png (one grid), an .npz, or a new folder [runs/sample/<model>.png]"
    )


def sample(model: Path, count: int, seed: int, labels: str | None, truncation: float | None, out: Path | None) -> None:
    """Draw images of a trained model."""
    from genlib.draw import LARGEST, draw, keep

    if not 1 <= count <= LARGEST:
        raise InputError(f"--count: found {count}, legal: a whole number from 1 to {LARGEST:,}")
    if truncation is not None and not 0 < truncation < float("inf"):
        raise InputError(f"--truncation: found {truncation}, legal: a number above 0; 1 is usual")
    from genlib.build import load

    where = out or SAMPLES / f"{model.resolve().name}.png"
    keep(draw(load(model), count, seed, _numbers("--labels", labels), truncation), where)
    print(f"{where}: {count} images of seed {seed}")


def _numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option}: found {text!r}, legal: whole numbers with commas between") from error


def _rate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/gan")
    parser.add_argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
    parser.add_argument("--count", type=int, default=50, help="real images, and as many generated ones [50]")
    parser.add_argument("--seed", type=int, default=0, help="of what is shown; the same goes on with a survey [0]")
    parser.add_argument("--port", type=int, default=5050, help="on 127.0.0.1 [5050]")


def rate(model: Path, data: Path, count: int, seed: int, port: int) -> None:
    """Ask people, on a page of this machine: real or fake?"""
    from genlib.build import load
    from genlib.data.dataset import load_dataset
    from genlib.draw import draw
    from genlib.evaluation.evidence import stratified
    from genlib.report.rating import Survey, items, serve

    dataset, network = load_dataset(data), load(model)
    if not 1 <= count <= len(dataset.test):
        raise InputError(f"--count: found {count}, legal: 1 to {len(dataset.test)}, the test images there are")
    if not 0 <= port < 2**16:
        raise InputError(f"--port: found {port}, legal: 0 (any that is free) to {2**16 - 1}")
    fake = draw(network, count, seed, None, None).pixels
    real = dataset.test[stratified(dataset.test.labels, len(dataset.test), seed)[:count]].pixels
    if fake.shape != real.shape:
        raise InputError(
            f"{data}: found images of shape {tuple(real.shape[1:])}, legal: the model's, {tuple(fake.shape[1:])}"
        )
    name = model.resolve().name
    survey = Survey(items(real, fake, seed), data.parent / "ratings" / f"{name}.csv", seed)
    try:
        serve(survey, f"Real or fake? {name}", port)
    except OSError as error:
        raise InputError(f"--port: found that {port} cannot be opened ({error.strerror}), legal: a free one") from error


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")


def doctor(json: bool) -> None:
    """Look whether this machine is fit, and say how to mend what is not."""
    from genlib.doctor import examine, facts

    findings = examine()
    print(dumps(facts(findings), indent=2) if json else "\n".join(map(str, findings)))
    if any(finding.state == "broken" for finding in findings):
        sys.exit(1)


def _completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help='eval "$(genlib completion bash)"')


def completion(shell: str) -> None:
    """Print what lets a shell complete commands and options."""
    import shtab

    print(shtab.complete(_parser(), shell))


def _explore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/vae")
    parser.add_argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"where the pictures go [{OUT}/<model>]")
    parser.add_argument("--what", metavar="TOOL,...", help="only these tools [all that the model can do]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    parser.add_argument("--count", type=int, default=10, help="held-out images to look at [10]")


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


GROUPS: dict[str, list[tuple[Callable[..., None], Callable[[argparse.ArgumentParser], None]]]] = {
    "draw and look": [(sample, _sample_arguments), (explore, _explore_arguments)],
    "judge": [(evaluate, _evaluate_arguments), (rate, _rate_arguments)],
    "keep": [(track, _track_arguments)],
    "this machine": [(doctor, _doctor_arguments), (completion, _completion_arguments)],
}
