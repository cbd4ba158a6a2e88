"""Does a GAN find every mode? Eight Gaussians on a ring, twenty-five on a grid, as in Lin et al. 2018, "PacGAN".

Of 2,500 samples, one is of high quality within three standard deviations of its nearest mode, and a mode is covered by
one of those (or, more strictly, by 20). The reverse divergence is KL(shares of the modes || even shares). Even a
perfect generator gets 98.9 % of high quality, and a divergence of 0.0015 on the ring and 0.0049 on the grid.

Command: `python -m experiments.mixtures [--state FOLDER] [--seeds N] [--figure]`; the points are drawn, `--data` is not
read.
Cost: a minute and a half of one core for each mixture and seed.
Expect: 8 of 8 modes, 89.0 % of high quality and a divergence of 0.0004 on the ring; 25 of 25, 82.0 % and 0.0065 on the
grid.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from experiments.common import DOCS, FinishedRows, new_parser, open_state
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.models import gan
from genlib.objectives import adversarial
from genlib.training.config import TrainConfig
from genlib.training.loop import train
from genlib.training.state import TrainState

POINTS, SAMPLES, MANY = 100_000, 2_500, 20
IMAGES = 4_000_000
FIGURE = DOCS / "mixtures.png"


@dataclass(frozen=True)
class Mixture:
    """Equal Gaussians of standard deviation `sigma` around `modes` [k, 2]; points are divided by `extent`."""

    name: str
    modes: Tensor
    sigma: float
    extent: float

    def draw(self, n: int, seed: int) -> Tensor:
        """Points [n, 2] in the mixture's own units."""
        generator = seeded_generator(seed, self.name)
        chosen = self.modes[torch.randint(len(self.modes), (n,), generator=generator)]
        return chosen + self.sigma * torch.randn(n, 2, generator=generator)


def ring() -> Mixture:
    angles = torch.arange(8) * (2 * math.pi / 8)
    return Mixture("ring", torch.stack([angles.cos(), angles.sin()], 1), 0.01, 1.25)


def grid() -> Mixture:
    ticks = torch.arange(-4.0, 5.0, 2.0)
    return Mixture("grid", torch.cartesian_prod(ticks, ticks), 0.05, 5.0)


@dataclass(frozen=True)
class ModeCoverage:
    covered: int
    well_covered: int
    high_quality: float
    divergence: float

    def __str__(self) -> str:
        modes = f"modes {self.covered} (20 samples: {self.well_covered})"
        return f"{modes}, high quality {self.high_quality:.1%}, reverse KL {self.divergence:.4f}"


def evaluate(points: Tensor, mixture: Mixture) -> ModeCoverage:
    """Points [n, 2] against the mixture they should come from."""
    distances, nearest = torch.cdist(points, mixture.modes).min(1)
    good = distances < 3 * mixture.sigma
    counts = torch.bincount(nearest[good], minlength=len(mixture.modes))
    shares = torch.bincount(nearest, minlength=len(mixture.modes)) / len(points)
    divergence = math.log(len(mixture.modes)) - torch.special.entr(shares).sum().item()
    return ModeCoverage(int((counts > 0).sum()), int((counts >= MANY).sum()), good.float().mean().item(), divergence)


def train_gan(mixture: Mixture, seed: int) -> gan.GAN:
    """The average of multilayer perceptrons after relativistic training with R1 and R2 (Huang et al. 2024)."""
    torch.manual_seed(seed)
    model = gan.Build((2, 1, 1), 0, latent=2, width=96, width_d=96, net="mlp")
    phases = adversarial.Build(loss="relativistic", r1=0.02, r2=0.02, lazy_reg_interval=4).phases(model)
    state = TrainState.create(model, phases, TrainConfig(lr=2e-3, beta1=0.0, beta2=0.99))
    points = mixture.draw(POINTS, seed) / mixture.extent
    list(
        train(
            state,
            Images(points.view(-1, 2, 1, 1)),
            TrainConfig(IMAGES, 512, seed=seed, schedule="linear", decay_start=0.3, precision="float32"),
        )
    )
    return cast(gan.GAN, state.ema)


def sample_gan(mixture: Mixture, seed: int) -> dict[str, Any]:
    """Points [SAMPLES, 2] of a trained GAN in the mixture's own units, and the seconds of a core that they took."""
    began = time.process_time()
    points = train_gan(mixture, seed).sample(SAMPLES).flatten(1) * mixture.extent
    return {"points": points.tolist(), "seconds": time.process_time() - began}


def draw(drawn: list[tuple[Mixture, Tensor]]) -> None:
    """Samples over data, a panel a mixture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    for axes, (mixture, points) in zip(figure.subplots(1, len(drawn)), drawn, strict=True):
        for name, shown, colour in (("data", mixture.draw(SAMPLES, 1), "tab:gray"), ("samples", points, "tab:blue")):
            axes.scatter(*shown.T, s=3, alpha=0.4, color=colour, label=name, linewidths=0)
        axes.set(title=mixture.name, aspect="equal")
        axes.legend(frameon=False, loc="center", markerscale=3)
    figure.savefig(FIGURE, dpi=110)
    print(FIGURE)


def main() -> None:
    parser = new_parser(__doc__, "not read")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--figure", action="store_true", help="draw docs/mixtures.png from the last seed")
    args = parser.parse_args()
    drawn = []
    with open_state(args.state) as state:
        finished = FinishedRows(state)
        for mixture in (ring(), grid()):
            print(f"{mixture.name}, real points: {evaluate(mixture.draw(SAMPLES, 1), mixture)}")
            for seed in range(args.seeds):
                row = finished.get(f"{mixture.name}, seed {seed}", sample_gan, mixture, seed)
                points = torch.tensor(row["points"])
                coverage = evaluate(points, mixture)
                print(f"{mixture.name}, seed {seed}: {coverage}; {row['seconds']:.0f} s of a core", flush=True)
            drawn.append((mixture, points))
    if args.figure:
        draw(drawn)


if __name__ == "__main__":
    main()
