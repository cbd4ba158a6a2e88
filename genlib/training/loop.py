"""The one training loop: every step is a list of turns, and progress is yielded, not printed.

Reports and checkpoints fall due at fixed counts of images seen, so they are the same on every rank and in every rerun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from genlib.data.batches import batches
from genlib.data.images import Images
from genlib.data.streaming import Streamed
from genlib.training import ema as averaging
from genlib.training.malloc import keep_freed
from genlib.training.process_group import Group
from genlib.training.schedule import Schedule, factor
from genlib.training.state import TrainState

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Plan:
    """How long and in what steps: counts are images seen, `batch_size` is the global batch."""

    images: int
    batch_size: int
    seed: int = 0
    ema: float = 0.999
    schedule: Schedule = "constant"
    warmup: float = 0.0
    hold: float = 0.0
    precision: Precision = "float32"
    report_every: int = 20_000
    checkpoint_every: int = 100_000


@dataclass(frozen=True)
class Progress:
    """Where training stands: `metrics` are means since the last report.

    `model` is the averaged model, in the process that trains it; `samples` uint8 pixels [n, C, H, W] where some were
    drawn; `resumed` marks where training began, and what was reported before that.
    """

    images_seen: int
    images: int
    metrics: Mapping[str, float]
    checkpoint: bool = False
    model: nn.Module | None = None
    samples: Tensor | None = None
    resumed: bool = False

    @property
    def done(self) -> bool:
        return self.images_seen >= self.images


class Diverged(ArithmeticError):
    """A loss or gradient stopped being a finite number."""


def train(
    state: TrainState,
    data: Images | Streamed,
    plan: Plan,
    group: Group = Group(),  # noqa: B008
    other: Images | Streamed | None = None,
) -> Iterator[Progress]:
    """Train `state` on `data` until `plan.images` were seen, yielding at every report that falls due.

    `other` holds the images of a second domain, for objectives that learn from a pair.

    Raises:
        Diverged: a reported value is not finite.
    """
    step = state.images_seen // plan.batch_size
    stream = batches(data, plan.batch_size, seed=plan.seed, step=step, rank=group.rank, world=group.world, other=other)
    device = next(state.model.parameters()).device
    bfloat16 = plan.precision == "bfloat16"
    sums = Sums()
    keep_freed()
    state.model.train()
    while state.images_seen < plan.images:
        batch = next(stream)
        before, seen = state.images_seen, state.images_seen + plan.batch_size
        last = seen >= plan.images
        report = last or seen // plan.report_every > before // plan.report_every
        rate = factor(plan.schedule, before / plan.images, plan.warmup, plan.hold)

        for turn, optimizer in zip(state.turns, state.optimizers, strict=True):
            if batch.step % turn.every:
                continue
            only(turn.module, state.model)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                terms = turn.terms(batch)
            torch.autograd.backward(terms.loss.sum() / batch.size)
            group.sum_(p.grad for p in turn.module.parameters() if p.grad is not None)
            sums.add(terms.watch)
            if report:
                sums.put(f"grad_norm_{turn.name}", gradient_norm(turn.module))
            _step(optimizer, rate)

        averaging.update(state.ema, state.model, plan.ema, batch.step)
        state.images_seen = seen
        if report:
            metrics = sums.means(group)
            state.history.append({"images_seen": seen, **metrics})
            due = last or seen // plan.checkpoint_every > before // plan.checkpoint_every
            yield Progress(seen, plan.images, metrics, checkpoint=due)


def only(module: nn.Module, model: nn.Module) -> None:
    """Let gradients reach the parameters of `module` and of nothing else in `model`."""
    model.requires_grad_(False)
    module.requires_grad_(True)


def gradient_norm(module: nn.Module) -> Tensor:
    """The Euclidean norm of all gradients of `module` together."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norms: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norms


def _step(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for settings in optimizer.param_groups:
        settings["lr"] = settings.setdefault("initial_lr", settings["lr"]) * rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


class Sums:
    """Running sums of what is watched, kept on the device: nothing is read back before a report."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.exact: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, watch: Mapping[str, Tensor]) -> None:
        """Add per-example values [n]."""
        for name, values in watch.items():
            total = values.detach().float().sum()
            self.totals[name] = self.totals[name] + total if name in self.totals else total
            self.counts[name] = self.counts.get(name, 0) + len(values)

    def put(self, name: str, value: Tensor) -> None:
        """Set a value that is the same on every rank already."""
        self.exact[name] = value.detach().float()

    def means(self, group: Group) -> dict[str, float]:
        """The means over all examples of the group since the last call, as numbers."""
        names = list(self.totals)
        counts = torch.tensor([float(self.counts[n]) for n in names])
        totals = torch.stack([self.totals[n] for n in names]).cpu() if names else torch.empty(0)
        group.sum_([totals, counts])
        found = dict(zip(names, (totals / counts).tolist(), strict=True))
        found |= {name: float(value) for name, value in self.exact.items()}
        self.totals, self.counts, self.exact = {}, {}, {}
        broken = [name for name, value in found.items() if value != value or value in (float("inf"), -float("inf"))]
        if broken:
            raise Diverged(f"training diverged: {', '.join(broken)} stopped being finite")
        return found
