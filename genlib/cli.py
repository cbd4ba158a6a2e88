"""The `genlib` command. Each command is one function; what it needs is imported inside."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"--out: found that {folder} cannot be made ({error.strerror}), legal: a folder") from error
    return folder


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
