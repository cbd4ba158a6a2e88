"""The `genlib` command. Each command is one function; what it needs is imported inside."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from genlib.errors import InputError, Lost, guarded, unknown

if TYPE_CHECKING:
    from genlib.gallery import Sheet, Subject

PREPARED, OUT = Path("data/prepared"), Path("runs/explore")
FIGURE, PAGE = Path("reports/diff.png"), Path("reports/so_far.html")
UNFORESEEN = 3  # the exit code of an error that nothing here expected


class Parser(argparse.ArgumentParser):
    """A wrong argument is a wrong input like any other."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}, legal: see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `genlib` with these arguments (the process's own by default); its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug, code = "--debug" in given[:1], 0

    def body() -> None:
        nonlocal code
        try:
            code = _enter(given[1:] if debug else given)
        except Exception as error:
            if debug:
                traceback.print_exc()
            if isinstance(error, InputError | Lost | ArithmeticError | OSError) or debug:
                raise
            raise Unforeseen(f"{type(error).__name__}: {error} (genlib --debug shows where)") from error

    try:
        return guarded(body) or code
    except Exception as error:
        print(f"genlib: {' '.join(str(error).split())}", file=sys.stderr)
        return UNFORESEEN


class Unforeseen(Exception):
    """What no line of genlib expected."""


def _enter(arguments: Sequence[str]) -> int:
    asked = vars(whole_parser().parse_args(arguments))
    if command := asked.pop("command", None):
        return command(**asked) or 0
    whole_parser().print_help()
    return 0


class Tree(Parser):
    """Its help shows the commands by what they are for."""

    def format_help(self) -> str:
        width = max(len(name) for group in GROUPS.values() for name in group)
        lines = ["usage: genlib [--debug] COMMAND ...", "", "Experiments on generative image models.", ""]
        for title, group in GROUPS.items():
            lines += [title, *(f"  {name:{width}}  {_says(name)}" for name in group), ""]
        lines += ["genlib COMMAND --help says what a command takes; --debug shows where an error came from.", ""]
        return "\n".join(lines)


def whole_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = Tree(prog="genlib", description="Experiments on generative image models.")
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error came from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name in (name for group in GROUPS.values() for name in group):
        COMMANDS[name][0](commands.add_parser(name, help=_says(name), description=_says(name)))
    return parser


def _says(name: str) -> str:
    return COMMANDS[name][1]


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
    from genlib.judge_images import judged, shown
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


def of_room(name: str) -> Callable[..., int | None]:
    """The command that genlib/commands/<name>.py holds, imported when it is called."""

    def command(**asked: Any) -> int | None:
        code: int | None = getattr(import_module(f"genlib.commands.{name}"), name)(**asked)
        return code

    return command


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/vae")
    parser.add_argument("--count", type=int, default=64, help="how many images [64]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    parser.add_argument("--labels", metavar="N,...", help="only these classes: 7 or 0,1,2 or 0-9 [all in turn]")
    parser.add_argument("--truncation", type=float, metavar="T", help="codes within T standard deviations [any]")
    parser.add_argument("--out", type=Path, metavar="PNG", help="where the grid goes [runs/samples/<model>.png]")
    parser.add_argument("--png-folder", type=Path, metavar="FOLDER", help="a PNG for each image, there")
    parser.add_argument("--npz", type=Path, metavar="FILE", help="all images as one uint8 array, there")
    parser.set_defaults(command=of_room("sample"))


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    where = "a folder of runs, a revision of git or an experiment of DVC"
    parser.add_argument("a", metavar="A", help=where)
    parser.add_argument("b", metavar="B", nargs="?", default="workspace", help="the same [what lies here]")
    parser.add_argument("--figure", type=Path, default=FIGURE, metavar="PNG", help=f"where the figure goes [{FIGURE}]")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print facts for programs")
    parser.set_defaults(command=of_room("diff"))


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=PAGE, metavar="HTML", help=f"where the page goes [{PAGE}]")
    parser.add_argument("--open", action="store_true", dest="show", help="show it in a browser")
    parser.set_defaults(command=of_room("report"))


def _rate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/gan")
    parser.add_argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
    forms = parser.add_mutually_exclusive_group()
    for option, form, says in (
        ("--two", "two", "a real image beside a generated one: which is real?"),
        ("--timed", "timed", "one image at a time, for a moment that ends where 3 of 4 answers are right"),
        ("--pairs", "pair", "two that `support` takes for one: the same picture?"),
    ):
        forms.add_argument(option, action="store_const", const=form, dest="form", help=says)
    parser.set_defaults(form="one")
    parser.add_argument("--count", type=int, help="real images, and as many generated ones [50]")
    parser.add_argument("--seed", type=int, default=0, help="of what is shown; the same goes on with a survey [0]")
    parser.add_argument("--port", type=int, default=5050, help="on 127.0.0.1 [5050]")
    parser.set_defaults(command=of_room("rate"))


def _promote_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a generator of runs/train that was evaluated: gan")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print facts for programs")
    parser.set_defaults(command=of_room("promote"))


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="print facts for programs")
    parser.set_defaults(command=of_room("doctor"))


def _completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help='as in eval "$(genlib completion bash)"')
    parser.set_defaults(command=completion)


def completion(shell: str) -> None:
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise InputError("completion: found no package shtab, legal: what `make setup` installs") from error
    print(shtab.complete(whole_parser(), shell))


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    "sample": (_sample_arguments, "Draw images from a trained model."),
    "explore": (_explore_arguments, str(explore.__doc__)),
    "report": (_report_arguments, "Write the page of the runs that there are so far."),
    "evaluate": (_evaluate_arguments, str(evaluate.__doc__)),
    "diff": (_diff_arguments, "Say what changed between two sets of runs, and what got better."),
    "rate": (_rate_arguments, "Ask people, on a page of this machine: real or fake?"),
    "promote": (_promote_arguments, "Register a generator, and make it champion if its numbers allow it."),
    "track": (_track_arguments, str(track.__doc__)),
    "doctor": (_doctor_arguments, "Say whether what genlib needs is there, and how to mend what is not."),
    "completion": (_completion_arguments, "Print what completes these words in a shell."),
}
GROUPS = {
    "look": ("sample", "explore", "report"),
    "judge": ("evaluate", "diff", "rate"),
    "keep": ("promote", "track"),
    "mend": ("doctor", "completion"),
}


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
