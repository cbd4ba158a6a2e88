"""The arguments of the `genlib` command. Each command is in commands/<name>.py, imported when it is called."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from genlib.errors import InputError, run_cli

PREPARED = Path("data/prepared")
DIFF_FIGURE, REPORT_PAGE = Path("reports/diff.png"), Path("reports/so_far.html")


class Parser(argparse.ArgumentParser):
    """Raises InputError for a wrong argument."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


class RenamedOption(argparse.Action):
    """An option of earlier versions, refused with its new name."""

    def __init__(self, option_strings: Sequence[str], dest: str, new_name: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=argparse.SUPPRESS)
        self.new_name = new_name

    def __call__(self, *_: object) -> NoReturn:
        raise InputError(f"{self.option_strings[0]}: got an option of an earlier version, expected {self.new_name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `genlib` with these arguments (the process's own by default); its exit code."""
    given, code = list(sys.argv[1:] if arguments is None else arguments), 0
    debug = "--debug" in given[:1]

    def body() -> None:
        nonlocal code
        code = _dispatch(given[debug:])

    return run_cli(body, debug=debug) or code


def _dispatch(arguments: Sequence[str]) -> int:
    if "track" in arguments[:1]:
        raise InputError("genlib track: got the name of genlib 0.1, expected genlib sync")
    asked = vars(build_parser().parse_args(arguments))
    name = asked.pop("command")
    if name is None:
        build_parser().print_help()
        return 0
    code: int | None = getattr(import_module(f"genlib.commands.{name}"), name)(**asked)
    return code or 0


class RootParser(Parser):
    """Its help groups the commands by purpose."""

    def format_help(self) -> str:
        width = max(len(name) for group in GROUPS.values() for name in group)
        lines = ["usage: genlib [--debug] COMMAND ...", "", "Experiments on generative image models.", ""]
        for title, group in GROUPS.items():
            lines += [title, *(f"  {name:{width}}  {_summary(name)}" for name in group), ""]
        lines += ["genlib COMMAND --help says what a command takes; --debug shows where an error came from.", ""]
        return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = RootParser(prog="genlib", description="Experiments on generative image models.")
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error came from")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", parser_class=Parser)
    for name in (name for group in GROUPS.values() for name in group):
        COMMANDS[name][0](commands.add_parser(name, help=_summary(name), description=_summary(name)))
    return parser


def _summary(name: str) -> str:
    return COMMANDS[name][1]


def _add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/vae")
    parser.add_argument("--count", type=int, default=64, help="how many images [64]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    parser.add_argument("--labels", metavar="N,...", help="only these classes: 7 or 0,1,2 or 0-9 [all in turn]")
    parser.add_argument("--truncation", type=float, metavar="T", help="codes within T standard deviations [any]")
    parser.add_argument("--out", type=Path, metavar="PNG", help="where the grid goes [runs/samples/<model>.png]")
    parser.add_argument("--png-folder", type=Path, metavar="FOLDER", help="a PNG for each image, there")
    parser.add_argument("--npz", type=Path, metavar="FILE", help="all images as one uint8 array, there")


def _add_explore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/vae")
    parser.add_argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the pictures go [runs/explore/<model>]")
    parser.add_argument("--what", metavar="TOOL,...", help="only these tools [all that the model can do]")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn [0]")
    parser.add_argument("--count", type=int, default=10, help="number of held-out images [10]")


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=REPORT_PAGE, metavar="HTML", help=f"where the page goes [{REPORT_PAGE}]"
    )
    parser.add_argument("--open", action="store_true", dest="show", help="show it in a browser")


def _add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    images = "a folder of images of any depth, an .npz or a .safetensors file"
    parser.add_argument("--real", type=Path, required=True, metavar="DIR", help=f"held-out real images: {images}")
    parser.add_argument("--fake", type=Path, required=True, metavar="DIR", help="generated images")
    parser.add_argument("--train", type=Path, metavar="DIR", help="what the generator learned from")
    parser.add_argument(
        "--extractor",
        metavar="WHO",
        help="pca, a classifier's folder, or inception_v3:WEIGHTS_FILE, or any classifier of torchvision [pca]",
    )
    parser.add_argument("--metrics", metavar="NAME,...", help="only these [all metrics of images]")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the numbers go, as in runs/evaluate")
    parser.add_argument("--html", type=Path, metavar="OUT", help="where the page goes")
    parser.add_argument("--size", type=int, metavar="N", help="resize all to N x N [the commonest size of the real]")
    parser.add_argument("--seed", type=int, default=0, help="of the halves and of what is drawn [0]")
    parser.add_argument("--strict", action="store_true", help="refuse what cannot be read or would be resized")


def _add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    where = "a folder of runs, a revision of git or an experiment of DVC"
    parser.add_argument("a", metavar="A", help=where)
    parser.add_argument("b", metavar="B", nargs="?", default="workspace", help="the same [what lies here]")
    parser.add_argument(
        "--figure", type=Path, default=DIFF_FIGURE, metavar="PNG", help=f"where the figure goes [{DIFF_FIGURE}]"
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print facts for programs")


def _add_rate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER", help="what a train stage wrote: runs/train/gan")
    parser.add_argument("--data", type=Path, default=PREPARED, metavar="FOLDER", help=f"prepared data [{PREPARED}]")
    forms = parser.add_mutually_exclusive_group()
    for option, form, says in (
        ("--forced-choice", "two", "a real image beside a generated one: which is real?"),
        ("--timed", "timed", "one image at a time, for a moment that ends where 3 of 4 answers are right"),
        ("--same-different", "pair", "two that `support` takes for one: the same picture?"),
    ):
        forms.add_argument(option, action="store_const", const=form, dest="form", help=says)
    parser.set_defaults(form="one")
    for old, new in (("--two", "--forced-choice"), ("--pairs", "--same-different")):
        parser.add_argument(old, action=RenamedOption, new_name=new)
    parser.add_argument("--count", type=int, help="real images, and as many generated ones [50]")
    parser.add_argument("--seed", type=int, default=0, help="of what is shown; the same goes on with a survey [0]")
    parser.add_argument("--port", type=int, default=5050, help="on 127.0.0.1 [5050]")


def _add_promote_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a generator of runs/train that was evaluated: gan")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print facts for programs")


def _add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="print facts for programs")
    parser.add_argument("--fix", action="store_true", help="remove the state that genlib 0.1 left in .genlib")


def _add_completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help='as in eval "$(genlib completion bash)"')


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    "sample": (_add_sample_arguments, "Draw images from a trained model."),
    "explore": (_add_explore_arguments, "Draw a model's latent space, one picture per tool."),
    "report": (_add_report_arguments, "Write the page of the runs so far."),
    "evaluate": (_add_evaluate_arguments, "Evaluate images from anywhere: real-looking, copied, all alike?"),
    "diff": (_add_diff_arguments, "Say what changed between two sets of runs, and what got better."),
    "rate": (_add_rate_arguments, "Ask people, on a page of this machine: real or fake?"),
    "promote": (_add_promote_arguments, "Register a generator, and make it champion if its numbers allow it."),
    "sync": (lambda parser: None, "Publish the runs that the tracking server missed."),
    "doctor": (_add_doctor_arguments, "Check what genlib needs, and say how to fix what is broken."),
    "completion": (_add_completion_arguments, "Print the completion script of a shell."),
}
GROUPS = {
    "inspect": ("sample", "explore", "report"),
    "evaluate": ("evaluate", "diff", "rate"),
    "publish": ("promote", "sync"),
    "diagnose": ("doctor", "completion"),
}
