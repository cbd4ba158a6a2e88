"""The balance of the two players, shown: what G learns from a D that is far too good, and from one far too bad.

Command: `python -m experiments.balance [--data PATH] [--state FOLDER]`, which also draws docs/balance.png.
Cost: a minute and a half of one core.
Expect: while D alone learns, D(G(z)) falls from 0.5 to 2e-6, and the norm of G's gradient from 0.6 to 2e-4 under the
minimax loss; under the non-saturating loss it rises to 79.

First G stands still, untrained, while D is trained on it alone. Along the way the norm of G's gradient is taken under
both losses, with no step of G. As D(G(z)) -> 0, log(1 - D(G(z))) has slope D(G(z)) in D's logit, which vanishes, and
-log D(G(z)) has slope 1 - D(G(z)), which does not (Goodfellow et al. 2014, section 3).

Then G is trained against three opponents: a balanced one; one that was trained as above and takes three turns for one
of G, with nothing to keep it smooth; and one that never learns. Adam divides each gradient by its usual size, so even a
G whose gradient has all but vanished moves, if only to poor images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.common import DOCS, FinishedRows, new_parser, open_data, open_state
from genlib.data.batches import Batch, batches
from genlib.data.config import DataConfig
from genlib.data.images import Images
from genlib.models import gan
from genlib.objectives import adversarial
from genlib.objectives.common.phases import Phase
from genlib.training.config import TrainConfig
from genlib.training.loop import freeze_except, gradient_norm, train
from genlib.training.state import TrainState

LossName = Literal["minimax", "non_saturating"]
LOSSES: tuple[LossName, ...] = ("minimax", "non_saturating")
BATCH, IMAGES, ALONE = 64, 32_000, 25_600
RATE = 1e-3
FIGURE = DOCS / "balance.png"


@dataclass(frozen=True)
class Reading:
    """G's gradient norm under each loss, and the mean of D(G(z)), after D saw that many images."""

    images_seen: int
    norms: dict[str, float]
    fooled: float


@dataclass(frozen=True)
class Outcome:
    """What training against an opponent came to."""

    opponent: str
    loss: str
    reading: Reading
    samples: Tensor


def main() -> None:
    args = new_parser(__doc__, "prepared grey images [the digits at 16x16]").parse_args()
    with open_state(args.state) as state:
        data = open_data(args.data, DataConfig(name="digits", image_size=16), state).train
        rows = FinishedRows(state)
        alone = [Reading(**reading) for reading in rows.get("D alone", train_d_alone, data)]
        outcomes = [
            Outcome(opponent, loss, Reading(**row["reading"]), torch.tensor(row["samples"]))
            for loss in LOSSES
            for opponent in OPPONENTS
            for row in [rows.get(f"G, {loss}, {opponent}", train_against, data, opponent, loss)]
        ]
    print("D alone, against an untrained G\n  images  D(G(z))   |grad G| minimax   non_saturating")
    for reading in alone:
        print(f"  {format_reading(reading)}")
    print(f"G after {IMAGES:,} images\n  trained by       opponent   D(G(z))   |grad G| minimax   non_saturating")
    for outcome in outcomes:
        print(f"  {outcome.loss:14s} {outcome.opponent:10s} {format_reading(outcome.reading)}")
    draw(alone, outcomes)


def format_reading(reading: Reading) -> str:
    minimax, other = (reading.norms[loss] for loss in LOSSES)
    return f"{reading.images_seen:>7,} {reading.fooled:9.1e} {minimax:18.1e} {other:16.1e}"


def build_gan(data: Images) -> gan.GAN:
    torch.manual_seed(0)
    return gan.Build(data.shape, 0, latent=32, width=32, width_d=24)


def train_phases(model: gan.GAN, phases: Sequence[Phase], data: Images, images: int, report: int) -> Iterator[int]:
    """Train by these phases alone, yielding the images seen at each report; the state's average is not used."""
    state = TrainState.create(model, tuple(phases), TrainConfig(lr=RATE, beta1=0.0, beta2=0.99))
    for progress in train(state, data, TrainConfig(images, BATCH, report_every=report, precision="float32")):
        yield progress.images_seen


def read(model: gan.GAN, data: Images, images_seen: int) -> Reading:
    """On one batch that is always the same."""
    batch = next(batches(data, BATCH, seed=1))
    norms: dict[str, float] = {loss: g_gradient_norm(model, loss, batch) for loss in LOSSES}
    with torch.no_grad():
        fooled = model.discriminator(model.generator(batch.randn("z_g", model.latent))).sigmoid().mean()
    return Reading(images_seen, norms, fooled.item())


def g_gradient_norm(model: gan.GAN, loss: LossName, batch: Batch) -> float:
    """The Euclidean norm of the gradient of G's mean loss in all its parameters."""
    _, phase = adversarial.Build(loss=loss).phases(model)
    freeze_except(model.generator, model)
    torch.autograd.backward(phase.step_losses(batch).loss.sum() / batch.global_size)
    norm = gradient_norm(model.generator).item()
    model.zero_grad()
    return norm


def train_d_alone(data: Images) -> list[dict[str, Any]]:
    """Readings along the way, the first before it."""
    model = build_gan(data)
    phase, _ = adversarial.Build().phases(model)
    readings = [read(model, data, 0)]
    readings += [read(model, data, seen) for seen in train_phases(model, [phase], data, ALONE, ALONE // 20)]
    return [asdict(reading) for reading in readings]


def train_against(data: Images, opponent: str, loss: LossName) -> dict[str, Any]:
    """G trained to the end against that opponent under that loss."""
    model = build_gan(data)
    for _ in train_phases(model, OPPONENTS[opponent](model, data, loss), data, IMAGES, IMAGES):
        pass
    return {"reading": asdict(read(model, data, IMAGES)), "samples": model.sample(36, seed=1).tolist()}


def balanced(model: gan.GAN, data: Images, loss: LossName) -> tuple[Phase, ...]:
    return adversarial.Build(loss=loss, r1=0.05, lazy_reg_interval=4).phases(model)


def too_good(model: gan.GAN, data: Images, loss: LossName) -> tuple[Phase, ...]:
    """D trained alone first, then three turns for one of G, and nothing keeps it smooth."""
    phases = adversarial.Build(loss=loss, d_steps_per_g_step=3).phases(model)
    list(train_phases(model, phases[:1], data, ALONE, ALONE))
    return phases


def too_bad(model: gan.GAN, data: Images, loss: LossName) -> tuple[Phase, ...]:
    """D stays what it was born as."""
    return adversarial.Build(loss=loss).phases(model)[1:]


OPPONENTS = {"balanced": balanced, "too good": too_good, "too bad": too_bad}


def draw(alone: list[Reading], outcomes: list[Outcome]) -> None:
    """Gradient norms against D's training beside what every G makes in the end, a row of samples a loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=[1, 1.25])
    axes = figure.add_subfigure(halves[0]).subplots()
    for loss in LOSSES:
        axes.semilogy([r.images_seen for r in alone], [r.norms[loss] for r in alone], marker=".", label=loss)
    axes.set(xlabel="images D was trained on, against a G that stands still", ylabel="norm of G's gradient")
    axes.legend(frameon=False)
    panels = figure.add_subfigure(halves[1]).subplots(len(LOSSES), len(OPPONENTS))
    for axis, outcome in zip(panels.flat, outcomes, strict=True):
        axis.imshow(tile_images(outcome.samples), cmap="gray", vmin=-1, vmax=1)
        axis.set_title(f"D {outcome.opponent}, {outcome.loss}", fontsize=8)
        axis.axis("off")
    figure.savefig(FIGURE, dpi=110)
    print(FIGURE)


def tile_images(x: Tensor) -> Tensor:
    """[36, 1, H, W] as a square of six by six, grey between them."""
    framed = F.pad(x[:, 0], (1, 1, 1, 1))
    return torch.cat([torch.cat(list(row), 1) for row in torch.split(framed, 6)])


if __name__ == "__main__":
    main()
