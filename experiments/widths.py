"""Why a code must be narrow: autoencoders of the 8x8 digits with codes of 1 to 128 numbers, the images having 64.

As the code widens the error on test digits falls, and so does the error on images of noise, which the network never
saw: from 64 numbers on a linear code copies whatever it is given, and a layered one more and more of it. What the code
says of the digit stops growing long before, and samples of the mixture stop getting better: the law of many numbers is
harder to fit than that of few. Noise images hold, pixel by pixel, values of training images drawn anew: each pixel is
distributed as in digits, and nothing else is.

Command: `python -m experiments.widths [--data PATH] [--state FOLDER] [--images N] [--figure docs/widths.png]`.
Cost: a minute and a half of one core.
Expect: at 64 numbers a linear code loses 0.010 of the digits and 0.067 of the noise; from there on its probe stays at
0.96; samples from the mixture are 1.5 to 3 away (Frechet), those from N(0, I) 16 to 66.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.common import (
    FinishedRows,
    hide_frame,
    markdown_table,
    new_parser,
    open_data,
    open_state,
    train_to_end,
)
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_float, to_pixels
from genlib.data.random import seeded_generator
from genlib.metrics.inputs import FeatureSet, build_inputs, extract_features
from genlib.metrics.registry import get_metric
from genlib.training.config import TrainConfig
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
    parser = new_parser(__doc__, "a prepared data set [the digits at 8x8]")
    parser.add_argument("--images", type=int, default=100_000, help="training images seen by each autoencoder")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    with open_state(args.state) as state:
        data = open_data(args.data, DataConfig(name="digits"), state)
        rows, real, pixels = sweep(data, args.images, FinishedRows(state))
    print(format_table(rows))
    print(f"real images: frechet {real:.2f}; probe on the 64 pixels: {pixels:.3f}")
    if args.figure:
        print(draw(rows, real, pixels, args.figure))


def sweep(data: Dataset, images: int, finished: FinishedRows) -> tuple[list[Row], float, float]:
    """A row for every net and size, the Frechet distance of real images and the accuracy of a probe on pixels."""

    @cache
    def classifier() -> tuple[nn.Module, list[FeatureSet]]:
        network = train_model({"name": "cnn_classifier", "width": 16}, {"name": "classification"}, data, 60_000)
        return network, [extract_features(network, part) for part in (data.train, data.valid, data.test)]

    def measure_code(net: str, size: int) -> dict[str, Any]:
        options = {"name": "autoencoder", "net": net, "latent": size, "width": 32}
        return measure(train_model(options, {"name": "reconstruction"}, data, images), net, size, *classifier(), data)

    found = [
        finished.get(f"{net} {size}, {images} images", measure_code, net, size) for net, size in product(NETS, SIZES)
    ]
    return [Row(**each["row"]) for each in found], found[-1]["real"], found[-1]["pixels"]


def train_model(model: dict[str, Any], objective: dict[str, Any], data: Dataset, images: int) -> nn.Module:
    """The averaged model after so many images."""
    config = TrainConfig(
        images, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.99, precision="float32", report_every=images
    )
    return train_to_end(TrainingJob("widths", model, objective, config, data))


def measure(
    model: nn.Module, net: str, size: int, classifier: nn.Module, views: Sequence[FeatureSet], data: Dataset
) -> dict[str, Any]:
    """The row of `model`, the baseline of its Frechet distances and the accuracy of a probe on pixels."""
    train, valid, test = views
    n = len(data.test)
    fakes = {prior: Images(to_pixels(model.sample(n, prior=prior))) for prior in ("normal", "mixture")}  # type: ignore[operator]
    inputs = {
        prior: build_inputs(classifier, train, valid, test, fake, n, 0, model=model) for prior, fake in fakes.items()
    }
    frechet = {prior: get_metric("frechet")(each) for prior, each in inputs.items()}
    probe = get_metric("probe_accuracy")(inputs["mixture"])
    losses = share_lost(model, to_float(data.test.pixels)), share_lost(model, to_float(noise(data.train, n)))
    row = Row(net, size, *losses, *(number(found.value) for found in (probe, frechet["normal"], frechet["mixture"])))
    real = number(get_metric("frechet")(inputs["mixture"].with_real_samples()).value)
    return {"row": asdict(row), "real": real, "pixels": float(probe.detail["pixels"]["value"])}


def number(value: float | None) -> float:
    assert value is not None
    return value


def noise(images: Images, n: int) -> Tensor:
    """n images whose every pixel is that pixel of a training image of its own, uint8 [n, C, H, W]."""
    flat = images.pixels.flatten(1)
    rows = torch.randint(len(flat), (n, flat.shape[1]), generator=seeded_generator("noise"))
    return flat.gather(0, rows).view(n, *images.shape)


@torch.no_grad()
def share_lost(model: nn.Module, x: Tensor) -> float:
    """Squared error of the reconstructions as a share of the images' variance."""
    again: Tensor = model.reconstruct(x)  # type: ignore[operator]
    return float((again - x).square().sum() / (x - x.mean(0)).square().sum())


def format_table(rows: list[Row]) -> str:
    cells = (
        (r.net, f"{r.size}", *(f"{v:.3f}" for v in (r.digits, r.noise, r.probe)), f"{r.normal:.1f}", f"{r.mixture:.1f}")
        for r in rows
    )
    return markdown_table(COLUMNS, cells)


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
    hide_frame(panels)
    panels[1].axhline(pixels, color="#8a8a8a", lw=1, label="on the pixels")
    panels[2].axhline(real, color="#8a8a8a", lw=1, label="real images")
    panels[2].set_yscale("log")
    for panel, place in zip(panels, ("upper right", "lower right", "upper right"), strict=True):
        panel.legend(frameon=False, fontsize=7, handlelength=3, loc=place)
    figure.savefig(path)
    return path


if __name__ == "__main__":
    main()
