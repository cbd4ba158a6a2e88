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
from genlib.data.streaming import StreamedImages
from genlib.training import ema as averaging
from genlib.training.malloc import retain_freed_memory
from genlib.training.process_group import ProcessGroup
from genlib.training.schedule import Schedule, lr_factor
from genlib.training.state import TrainState

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class LoopConfig:
    """How long and in what steps: counts are images seen, `batch_size` is the global batch."""

    total_images: int
    batch_size: int
    seed: int = 0
    ema: float = 0.999
    schedule: Schedule = "constant"
    warmup_fraction: float = 0.0
    decay_start: float = 0.0
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
    total_images: int
    metrics: Mapping[str, float]
    checkpoint_due: bool = False
    model: nn.Module | None = None
    samples: Tensor | None = None
    resumed: bool = False

    @property
    def is_done(self) -> bool:
        return self.images_seen >= self.total_images


class TrainingDiverged(ArithmeticError):
    """A loss or gradient stopped being a finite number."""


def train(
    state: TrainState,
    data: Images | StreamedImages,
    config: LoopConfig,
    group: ProcessGroup = ProcessGroup(),  # noqa: B008
    domain_b: Images | StreamedImages | None = None,
) -> Iterator[Progress]:
    """Train `state` on `data` until `plan.images` were seen, yielding at every report that falls due.

    `other` holds the images of a second domain, for objectives that learn from a pair.

    Raises:
        Diverged: a reported value is not finite.
    """
    step = state.images_seen // config.batch_size
    stream = batches(
        data, config.batch_size, seed=config.seed, step=step, rank=group.rank, world=group.world_size, domain_b=domain_b
    )
    device = next(state.model.parameters()).device
    bfloat16 = config.precision == "bfloat16"
    sums = MetricAccumulator()
    retain_freed_memory()
    state.model.train()
    while state.images_seen < config.total_images:
        batch = next(stream)
        before, seen = state.images_seen, state.images_seen + config.batch_size
        last = seen >= config.total_images
        report = last or seen // config.report_every > before // config.report_every
        rate = lr_factor(config.schedule, before / config.total_images, config.warmup_fraction, config.decay_start)

        for turn, optimizer in zip(state.phases, state.optimizers, strict=True):
            if batch.step % turn.interval:
                continue
            freeze_except(turn.module, state.model)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                terms = turn.step_losses(batch)
            torch.autograd.backward(terms.loss.sum() / batch.global_size)
            group.all_reduce_(p.grad for p in turn.module.parameters() if p.grad is not None)
            sums.add(terms.logged)
            if report:
                sums.set_scalar(f"grad_norm_{turn.name}", gradient_norm(turn.module))
            _step_optimizer(optimizer, rate)

        averaging.update(state.ema, state.model, config.ema, batch.step)
        state.images_seen = seen
        if report:
            metrics = sums.pop_means(group)
            state.history.append({"images_seen": seen, **metrics})
            due = last or seen // config.checkpoint_every > before // config.checkpoint_every
            yield Progress(seen, config.total_images, metrics, checkpoint_due=due)


def freeze_except(module: nn.Module, model: nn.Module) -> None:
    """Let gradients reach the parameters of `module` and of nothing else in `model`."""
    model.requires_grad_(False)
    module.requires_grad_(True)


def gradient_norm(module: nn.Module) -> Tensor:
    """The Euclidean norm of all gradients of `module` together."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norms: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norms


def _step_optimizer(optimizer: torch.optim.Optimizer, scale: float) -> None:
    for settings in optimizer.param_groups:
        settings["lr"] = settings.setdefault("initial_lr", settings["lr"]) * scale
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


class MetricAccumulator:
    """Running sums of what is watched, kept on the device: nothing is read back before a report."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.scalars: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, logged: Mapping[str, Tensor]) -> None:
        """Add per-example values [n]."""
        for name, values in logged.items():
            total = values.detach().float().sum()
            self.totals[name] = self.totals[name] + total if name in self.totals else total
            self.counts[name] = self.counts.get(name, 0) + len(values)

    def set_scalar(self, name: str, value: Tensor) -> None:
        """Set a value that is the same on every rank already."""
        self.scalars[name] = value.detach().float()

    def pop_means(self, group: ProcessGroup) -> dict[str, float]:
        """The means over all examples of the group since the last call, as numbers."""
        names = list(self.totals)
        counts = torch.tensor([float(self.counts[n]) for n in names])
        totals = torch.stack([self.totals[n] for n in names]).cpu() if names else torch.empty(0)
        group.all_reduce_([totals, counts])
        found = dict(zip(names, (totals / counts).tolist(), strict=True))
        found |= {name: float(value) for name, value in self.scalars.items()}
        self.totals, self.counts, self.scalars = {}, {}, {}
        broken = [name for name, value in found.items() if value != value or value in (float("inf"), -float("inf"))]
        if broken:
            raise TrainingDiverged(f"training diverged: {', '.join(broken)} stopped being finite")
        return found
