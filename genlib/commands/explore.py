"""`genlib explore`: what is in a model's codes, one picture per tool of gallery.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.errors import InputError, unknown
from genlib.files import make_folder

if TYPE_CHECKING:
    from genlib.figures.latent_tools import Sheet, Subject

OUT = Path("runs/explore")


def explore(model: Path, data: Path, out: Path | None, what: str | None, seed: int, count: int) -> None:
    """Look into a model's space of codes: one picture per tool."""
    if count < 1:
        raise InputError(f"--count: found {count}, legal: a whole number of at least 1")
    from genlib.figures.latent_tools import Lacking, tools

    known = tools()
    asked = list(known) if what is None else what.split(",")
    for name in asked:
        if name not in known:
            raise unknown("--what", name, known)
    subject = _subject(model, data, seed, count)
    folder = make_folder(out or OUT / model.resolve().name, "--out")
    for name in dict.fromkeys(asked):
        try:
            _keep(known[name](subject), folder / name)
        except Lacking as reason:
            print(f"{name}: left out, {reason}")


def _subject(model: Path, data: Path, seed: int, count: int) -> Subject:
    """The model in its folder, and images of the kind it was trained on; held-out ones in the mix of their classes."""
    from genlib.data.dataset import load_dataset
    from genlib.figures.latent_tools import CODED, Subject
    from genlib.metrics.inputs import stratified
    from genlib.registry import load

    network, config, dataset = load(model), json.loads((model / "config.json").read_text()), load_dataset(data)
    if not hasattr(network, "image"):
        raise InputError(f"{model}: found {config['model']['name']}, which has no codes, legal: a model with image(z)")
    made_for, found = (tuple(config["shape"]), config["classes"]), (dataset.shape, len(dataset.classes))
    if made_for != found:
        raise InputError(f"{data}: found shape and classes {found}, legal: those of the model, {made_for}")
    order = stratified(dataset.test.labels, len(dataset.test), seed)
    return Subject(network, dataset.test[order[:count]], dataset.train[:CODED], seed)


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
