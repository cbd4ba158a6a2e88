"""Images of a trained model, drawn and kept: as one picture, as a folder of pictures, or as numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded
from genlib.data.images import Images, to_pixels
from genlib.errors import InputError

LARGEST = 1_000_000  # images of one call
PARTIAL = ".partial"


def draw(model: nn.Module, count: int, seed: int, labels: list[int] | None, truncation: float | None) -> Images:
    """`count` images of `model`; of the classes `labels`, in turn and again from the first; from z ~ N(0, 1) within
    +-`truncation` (Brock, Donahue and Simonyan 2019), which makes them more typical and more alike.

    Raises:
        InputError: the model does not sample, or knows no such classes, or has no prior to cut.
    """
    if not hasattr(model, "sample"):
        raise InputError(f"MODEL_FOLDER: found {type(model).__name__}, which does not sample, legal: a generator")
    y = None if labels is None else _classes(model, labels, count)
    with torch.no_grad():
        if truncation is not None:
            return Images(to_pixels(_cut(model, count, seed, y, truncation)), y)
        return Images(to_pixels(model.sample(count, seed=seed, **({} if y is None else {"y": y}))), y)  # type: ignore[operator]


def _classes(model: nn.Module, labels: list[int], count: int) -> Tensor:
    if not getattr(model, "conditional", False):
        raise InputError("--labels: found a model that is not asked for classes, legal: a conditional one (cgan, cvae)")
    known = int(model.classes)  # type: ignore[arg-type]
    for label in labels:
        if not 0 <= label < known:
            raise InputError(f"--labels: found {label}, legal: 0 to {known - 1}")
    return torch.tensor(labels)[torch.arange(count) % len(labels)]


def _cut(model: nn.Module, count: int, seed: int, y: Tensor | None, truncation: float) -> Tensor:
    if not hasattr(model, "image") or not hasattr(model, "latent") or hasattr(model, "mixture"):
        raise InputError(f"--truncation: found {type(model).__name__}, legal: a model of z ~ N(0, 1), as gan or vae")
    if getattr(model, "conditional", False) and y is None:
        y = torch.randint(int(model.classes), (count,), generator=seeded(seed, "labels"))  # type: ignore[arg-type]
    z = torch.empty(count, int(model.latent))  # type: ignore[arg-type]
    nn.init.trunc_normal_(z, a=-truncation, b=truncation, generator=seeded(seed, "sample"))
    made: Tensor = model.image(z) if y is None else model.image(z, y)  # type: ignore[operator]
    return made


def keep(images: Images, out: Path) -> None:
    """Write one grid (`.png`), arrays (`.npz`: pixels uint8 [N, C, H, W], labels int64 [N]) or, where `out` ends in
    neither, a folder of a PNG for each image; whole or not at all.

    Raises:
        InputError: `out` cannot be written, or is a folder that holds something already.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".png":
            from genlib.data.png import write_grid

            write_grid(images.pixels, out)
        elif out.suffix == ".npz":
            _arrays(images, out)
        else:
            _folder(images, out)
    except OSError as error:
        raise InputError(
            f"--out: found {out}, which cannot be written ({error.strerror}), legal: a place with room"
        ) from error


def _arrays(images: Images, out: Path) -> None:
    import numpy as np

    partial = out.with_name(out.name + PARTIAL)
    labels = {} if images.labels is None else {"labels": images.labels.numpy()}
    with partial.open("wb") as file:
        np.savez_compressed(file, pixels=images.pixels.numpy(), **labels)  # type: ignore[arg-type]
    partial.replace(out)


def _folder(images: Images, out: Path) -> None:
    import shutil

    from tqdm import tqdm

    from genlib.data.png import write_png

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out: found {out}, which is there already, legal: a new folder, a .png or an .npz file")
    partial = out.with_name(out.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for index, pixels in enumerate(tqdm(images.pixels, unit=" images", disable=None)):
        write_png(pixels, partial / _name(index, images))
    if out.exists():
        out.rmdir()
    partial.rename(out)


def _name(index: int, images: Images) -> str:
    """By its place, and by its class where it was asked for one."""
    return f"{index:06d}.png" if images.labels is None else f"{index:06d}_{int(images.labels[index])}.png"
