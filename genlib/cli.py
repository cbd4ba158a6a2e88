"""The arguments of the `genlib` command. Each command is in commands/<name>.py, imported when it is called."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

from genlib.errors import InputError, run_cli

PREPARED = Path("data/prepared")
DIFF_FIGURE, REPORT_PAGE = Path("reports/diff.png"), Path("reports/so_far.html")
RENAMED = {"track": "genlib sync", "--two": "--forced-choice", "--pairs": "--same-different"}  # since genlib 0.1


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


class RootParser(Parser):
    def format_help(self) -> str:
        width = max(map(len, COMMANDS))
        lines = ["usage: genlib [--debug] COMMAND ...", "", "Experiments on generative image models.", ""]
        for group, names in groupby(COMMANDS, lambda name: COMMANDS[name][0]):
            lines += [group, *(f"  {name:{width}}  {COMMANDS[name][1]}" for name in names), ""]
        lines += ["genlib COMMAND --help says what a command takes; --debug shows where an error came from.", ""]
        return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `genlib` with these arguments (the process's own by default); its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = given[:1] == ["--debug"]
    return run_cli(lambda: _dispatch(given[debug:]), debug=debug)


def _dispatch(arguments: Sequence[str]) -> int:
    for old in (*arguments[:1], *(each for each in arguments if each.startswith("--"))):
        if old in RENAMED:
            raise InputError(f"{old}: got a name of genlib 0.1, expected {RENAMED[old]}")
    parser = build_parser()
    asked = vars(parser.parse_args(arguments))
    name = asked.pop("command")
    if name is None:
        parser.print_help()
        return 0
    code: int | None = getattr(import_module(f"genlib.commands.{name}"), name)(**asked)
    return code or 0


def build_parser() -> argparse.ArgumentParser:
    parser = RootParser(prog="genlib", description="Experiments on generative image models.")
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error came from")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", parser_class=Parser)
    for name, (_, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        for add_to in ARGUMENTS[name]:
            add_to(command)
    return parser


def _argument(*names: str, **options: Any) -> Callable[[argparse.ArgumentParser], object]:
    return lambda parser: parser.add_argument(*names, **options)


def _add_rating_form(parser: argparse.ArgumentParser) -> None:
    forms = parser.add_mutually_exclusive_group()
    for option, form, says in (
        ("--forced-choice", "two", "a real image beside a generated one: which is real?"),
        ("--timed", "timed", "one image at a time, for a moment that ends where 3 of 4 answers are right"),
        ("--same-different", "pair", "two that `support` takes for one: the same picture?"),
    ):
        forms.add_argument(option, action="store_const", const=form, dest="form", help=says)
    parser.set_defaults(form="one")


COMMANDS = {
    "sample": ("inspect", "Draw images from a trained model."),
    "explore": ("inspect", "Draw a model's latent space, one picture per tool."),
    "report": ("inspect", "Write the page of the runs so far."),
    "evaluate": ("evaluate", "Evaluate images from anywhere: realistic, original, diverse?"),
    "fid": ("evaluate", "Print the Frechet distance between two sets of images."),
    "diff": ("evaluate", "Say what changed between two sets of runs, and what got better."),
    "rate": ("evaluate", "Ask people, on a page of this machine: real or fake?"),
    "promote": ("publish", "Register a generator, and make it champion if its numbers allow it."),
    "sync": ("publish", "Publish the runs that the tracking server missed."),
    "doctor": ("diagnose", "Check what genlib needs, and say how to fix what is broken."),
    "completion": ("diagnose", "Print the completion script of a shell."),
}
MODEL = _argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/vae")
DATA = _argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
SEED = _argument("--seed", type=int, default=0, help="of what is drawn [0]")
AS_JSON = _argument("--json", action="store_true", dest="as_json", help="print facts for programs")
IMAGES = "a folder of images of any depth, an .npz or a .safetensors file"
EXTRACTORS = "pca, a classifier's folder, efficientnet_lite0, or NAME:FILE: inception, dinov2, clip, one of torchvision"
PROTOCOLS = "fid50k_full, fid10k_test, clean_fid, kid or is10, as in papers"
RUNS = "a folder of runs, a revision of git or an experiment of DVC"
ARGUMENTS: dict[str, list[Callable[[argparse.ArgumentParser], object]]] = {
    "sample": [
        MODEL,
        _argument("--count", type=int, default=64, help="how many images [64]"),
        SEED,
        _argument("--labels", metavar="N,...", help="only these classes: 7 or 0,1,2 or 0-9 [all in turn]"),
        _argument("--truncation", type=float, metavar="T", help="codes within T standard deviations [any]"),
        _argument("--out", type=Path, metavar="PNG", help="where the grid goes [runs/samples/<model>.png]"),
        _argument("--png-folder", type=Path, metavar="FOLDER", help="a PNG for each image, there"),
        _argument("--npz", type=Path, metavar="FILE", help="all images as one uint8 array, there"),
    ],
    "explore": [
        MODEL,
        DATA,
        _argument("--out", type=Path, metavar="FOLDER", help="where the pictures go [runs/explore/<model>]"),
        _argument("--what", metavar="TOOL,...", help="only these tools [all that the model can do]"),
        SEED,
        _argument("--count", type=int, default=10, help="number of held-out images [10]"),
    ],
    "report": [
        _argument("--out", type=Path, default=REPORT_PAGE, metavar="HTML", help=f"where the page goes [{REPORT_PAGE}]"),
        _argument("--open", action="store_true", dest="show", help="show it in a browser"),
    ],
    "evaluate": [
        _argument("--real", type=Path, required=True, metavar="DIR", help=f"held-out real images: {IMAGES}"),
        _argument("--fake", type=Path, required=True, metavar="DIR", help="generated images"),
        _argument("--train", type=Path, metavar="DIR", help="what the generator learned from"),
        _argument("--extractor", metavar="WHO", help=f"{EXTRACTORS} [pca]"),
        _argument("--protocol", metavar="NAME", help=f"{PROTOCOLS} [all metrics, with baselines]"),
        _argument("--metrics", metavar="NAME,...", help="only these [all metrics of images]"),
        _argument("--json", type=Path, metavar="OUT", help="where the numbers go, as in runs/evaluate"),
        _argument("--html", type=Path, metavar="OUT", help="where the page goes"),
        _argument("--size", type=int, metavar="N", help="resize all to N x N [the commonest size of the real]"),
        _argument("--seed", type=int, default=0, help="of the halves and of what is drawn [0]"),
        _argument("--strict", action="store_true", help="refuse what cannot be read or would be resized"),
    ],
    "fid": [
        _argument("a", type=Path, metavar="A", help=f"generated images, {IMAGES}, or their statistics"),
        _argument("b", type=Path, metavar="B", help="real images, or an .npz of their mu and sigma"),
        _argument("--extractor", metavar="WHO", help=f"inception:FILE for the published numbers; {EXTRACTORS} [pca]"),
        _argument("--json", type=Path, metavar="OUT", help="where the numbers go, as in runs/evaluate"),
    ],
    "diff": [
        _argument("a", metavar="A", help=RUNS),
        _argument("b", metavar="B", nargs="?", default="workspace", help="the same [what lies here]"),
        _argument("--figure", type=Path, default=DIFF_FIGURE, metavar="PNG", help=f"the figure's file [{DIFF_FIGURE}]"),
        AS_JSON,
    ],
    "rate": [
        MODEL,
        DATA,
        _add_rating_form,
        _argument("--count", type=int, help="real images, and as many generated ones [50]"),
        _argument("--seed", type=int, default=0, help="of what is shown; the same goes on with a survey [0]"),
        _argument("--port", type=int, default=5050, help="on 127.0.0.1 [5050]"),
    ],
    "promote": [_argument("model", metavar="MODEL", help="an evaluated generator of runs/train: gan"), AS_JSON],
    "sync": [],
    "doctor": [AS_JSON, _argument("--fix", action="store_true", help="remove what genlib 0.1 left in .genlib")],
    "completion": [_argument("shell", choices=("bash", "zsh"), help='as in eval "$(genlib completion bash)"')],
}
