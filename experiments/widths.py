"""Why a code must be narrow: autoencoders of the 8x8 digits with codes of 1 to 128 numbers, the images having 64.

As the code widens the error on test digits falls, and so does the error on images of noise, which the network never
saw: from 64 numbers on a linear code copies whatever it is given, and a layered one more and more of it. What the code
says of the digit stops growing long before, and samples of the mixture stop getting better: the law of many numbers is
harder to fit than that of few. Noise images hold, pixel by pixel, values of training images drawn anew: each pixel is
distributed as in digits, and nothing else is.

`python -m experiments.widths [--images N] [--figure docs/widths.png]`; about a minute and a half of one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded_generator
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset, load_dataset, prepare
from genlib.data.images import Images, to_float, to_pixels
from genlib.metrics.inputs import FeatureSet, build_inputs, extract_features
from genlib.metrics.registry import get_metric
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob

NETS = {"mlp": "-", "linear": "--"}  # and how their curves are drawn
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
COLUMNS = ("net", "code", "digits", "noise", "probe", "frechet N(0, I)", "frechet mixture")


@dataclass(frozen=True)
class Row:
    """Of one net and code size: the share of the variance of test digits and of noise that is lost, the accuracy of a
    linear probe on the code, and Frechet distances of samples from the standard normal and from the mixture."""

    net: str
    size: int
    digits: float
    noise: float
    probe: float
    normal: float
    mixture: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, help="training images seen by each autoencoder")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        prepare(DataConfig(name="digits"), Path(folder))
        rows, real, pixels = sweep(Path(folder), asked.images)
    print(table(rows))
    print(f"real images: frechet {real:.2f}; probe on the 64 pixels: {pixels:.3f}")
    if asked.figure:
        print(draw(rows, real, pixels, asked.figure))


def sweep(folder: Path, images: int) -> tuple[list[Row], float, float]:
    """A row for every net and size, the Frechet distance of real images and the accuracy of a probe on pixels."""
    data = load_dataset(folder)
    judge = trained({"name": "cnn_classifier", "width": 16}, {"name": "classification"}, folder, 60_000)
    views = tuple(extract_features(judge, part) for part in (data.train, data.valid, data.test))
    rows = []
    for net, size in product(NETS, SIZES):
        options = {"name": "autoencoder", "net": net, "latent": size, "width": 32}
        model = trained(options, {"name": "reconstruction"}, folder, images)
        row, real, pixels = measured(model, net, size, judge, views, data)
        rows.append(row)
    return rows, real, pixels


def trained(model: dict[str, Any], objective: dict[str, Any], folder: Path, images: int) -> nn.Module:
    """The averaged model after so many images."""
    plan = TrainConfig(
        images, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.99, precision="float32", report_every=images
    )
    *_, last = fit(TrainingJob("widths", model, objective, plan, load_dataset(folder)))
    assert last.model is not None
    return last.model


def measured(
    model: nn.Module, net: str, size: int, judge: nn.Module, views: tuple[FeatureSet, ...], data: Dataset
) -> tuple[Row, float, float]:
    """The row of `model`, the null of its Frechet distances and the accuracy of a probe on pixels."""
    train, valid, test = views
    n = len(data.test)
    fakes = {prior: Images(to_pixels(model.sample(n, prior=prior))) for prior in ("normal", "mixture")}  # type: ignore[operator]
    seen = {prior: build_inputs(judge, train, valid, test, fake, n, 0, model=model) for prior, fake in fakes.items()}
    frechet = {prior: get_metric("frechet")(evidence) for prior, evidence in seen.items()}
    probe = get_metric("probe_accuracy")(seen["mixture"])
    losses = lost(model, to_float(data.test.pixels)), lost(model, to_float(noise(data.train, n)))
    row = Row(net, size, *losses, *(number(found.value) for found in (probe, frechet["normal"], frechet["mixture"])))
    real = number(get_metric("frechet")(seen["mixture"].with_real_samples()).value)
    return row, real, float(probe.detail["pixels"]["value"])


def number(value: float | None) -> float:
    assert value is not None
    return value


def noise(images: Images, n: int) -> Tensor:
    """n images whose every pixel is that pixel of a training image of its own, uint8 [n, C, H, W]."""
    flat = images.pixels.flatten(1)
    rows = torch.randint(len(flat), (n, flat.shape[1]), generator=seeded_generator("noise"))
    return flat.gather(0, rows).view(n, *images.shape)


@torch.no_grad()
def lost(model: nn.Module, x: Tensor) -> float:
    """Squared error of the reconstructions as a share of the images' variance."""
    again: Tensor = model.reconstruct(x)  # type: ignore[operator]
    return float((again - x).square().sum() / (x - x.mean(0)).square().sum())


def table(rows: list[Row]) -> str:
    """Markdown."""
    body = [
        f"| {r.net} | {r.size} | {r.digits:.3f} | {r.noise:.3f} | {r.probe:.3f} | {r.normal:.1f} | {r.mixture:.1f} |"
        for r in rows
    ]
    return "\n".join(["| " + " | ".join(COLUMNS) + " |", "|:--|" + "--:|" * (len(COLUMNS) - 1), *body])


def draw(rows: list[Row], real: float, pixels: float, path: Path) -> Path:
    """Error, meaning and samples over the size of the code, in three panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3)
    shown: list[tuple[str, dict[str, str]]] = [
        ("share of the variance lost", {"digits": "test digits", "noise": "noise"}),
        ("accuracy of a linear probe", {"probe": "on the code"}),
        ("Frechet distance of samples", {"normal": "from N(0, I)", "mixture": "from the mixture"}),
    ]
    for panel, (title, curves) in zip(panels, shown, strict=True):
        for net, style in NETS.items():
            own = [row for row in rows if row.net == net]
            for (name, label), colour in zip(curves.items(), ("#c8442f", "#5b8db8"), strict=False):
                values = [getattr(row, name) for row in own]
                panel.plot(SIZES, values, style, marker="o", ms=3, color=colour, label=f"{label}, {net}")
        panel.axvline(64, color="#cccccc", lw=1, ls=":")
        panel.set(title=title, xlabel="numbers in the code (the images have 64)", xscale="log")
        panel.set_xticks(SIZES, [str(size) for size in SIZES])
        panel.minorticks_off()
        panel.spines[["right", "top"]].set_visible(False)
    panels[1].axhline(pixels, color="#8a8a8a", lw=1, label="on the pixels")
    panels[2].axhline(real, color="#8a8a8a", lw=1, label="real images")
    panels[2].set_yscale("log")
    for panel, place in zip(panels, ("upper right", "lower right", "upper right"), strict=True):
        panel.legend(frameon=False, fontsize=7, handlelength=3, loc=place)
    figure.savefig(path)
    return path


if __name__ == "__main__":
    main()
