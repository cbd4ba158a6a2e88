"""The training loop: every step is a list of phases; progress is yielded.

Reports and checkpoints fall due at fixed counts of images seen, so they are the same on every rank and in every rerun.
"""

import ctypes
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from genlib.data.batches import batches
from genlib.data.images import Images
from genlib.data.streaming import StreamedImages
from genlib.training import ema
from genlib.training.config import TrainConfig
from genlib.training.process_group import ProcessGroup
from genlib.training.state import TrainState


@dataclass(frozen=True)
class Progress:
    """Where training stands: `metrics` are means since the last report.

    `model` is the averaged model, in the process that trains it; `samples` uint8 pixels [n, C, H, W] at some reports;
    `resumed` marks the start, and the reports of a run that is gone on with.
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
    """A loss or gradient stopped being finite."""


def train(
    state: TrainState,
    data: Images | StreamedImages,
    config: TrainConfig,
    group: ProcessGroup = ProcessGroup(),  # noqa: B008
    domain_b: Images | StreamedImages | None = None,
) -> Iterator[Progress]:
    """Train `state` until it has seen `config.total_images`, yielding at every report that falls due; raises
    TrainingDiverged. `domain_b`: images of a second domain, for objectives that learn from a pair."""
    step, batch_size = state.images_seen // config.batch_size, config.batch_size
    stream = batches(
        data, batch_size, seed=config.seed, step=step, rank=group.rank, world=group.world_size, domain_b=domain_b
    )
    device = next(state.model.parameters()).device
    bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and prefers_bfloat16(device))
    accumulator = MetricAccumulator()
    _retain_freed_memory()
    state.model.train()
    while state.images_seen < config.total_images:
        batch = next(stream)
        pieces = batch.split(config.accumulate)
        images_before, images_seen = state.images_seen, state.images_seen + batch_size
        is_last = images_seen >= config.total_images
        report_due = is_last or images_seen // config.report_every > images_before // config.report_every
        scale = config.lr_factor(images_before / config.total_images)

        for phase, optimizer in zip(state.phases, state.optimizers, strict=True):
            if batch.step % phase.interval:
                continue
            freeze_except(phase.module, state.model)
            for piece in pieces:
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    losses = phase.step_losses(piece)
                torch.autograd.backward(losses.loss.sum() / batch.global_size)
                accumulator.add(losses.logged)
            group.all_reduce_(p.grad for p in phase.module.parameters() if p.grad is not None)
            if report_due:
                accumulator.scalars[f"grad_norm_{phase.name}"] = gradient_norm(phase.module)
            _step_optimizer(optimizer, scale)

        ema.update(state.ema, state.model, config.ema, batch.step)
        state.images_seen = images_seen
        if report_due:
            metrics = accumulator.pop_means(group)
            state.history.append({"images_seen": images_seen, **metrics})
            due = is_last or images_seen // config.checkpoint_every > images_before // config.checkpoint_every
            yield Progress(images_seen, config.total_images, metrics, checkpoint_due=due)


def prefers_bfloat16(device: torch.device) -> bool:
    """Whether the device is faster in bfloat16: GPUs that know it, and CPUs with AVX-512 bf16 instructions."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()


def freeze_except(module: nn.Module, model: nn.Module) -> None:
    model.requires_grad_(False)
    module.requires_grad_(True)


def gradient_norm(module: nn.Module) -> Tensor:
    """The Euclidean norm of all gradients of `module` together."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    norms: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norms


def _retain_freed_memory() -> None:
    """Let glibc keep what is freed: page faults for the next step's activations take up to a sixth of a CPU step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the highest threshold that glibc takes, in bytes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: never


def _step_optimizer(optimizer: torch.optim.Optimizer, scale: float) -> None:
    for settings in optimizer.param_groups:
        settings["lr"] = settings.setdefault("initial_lr", settings["lr"]) * scale
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


class MetricAccumulator:
    """Running sums of logged values, and `scalars` that are the same on every rank already; all stay on the device:
    nothing is read back before a report."""

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

    def pop_means(self, group: ProcessGroup) -> dict[str, float]:
        """The means over all examples of the group since the last call, as numbers."""
        names = list(self.totals)
        counts = torch.tensor([float(self.counts[n]) for n in names])
        totals = torch.stack([self.totals[n] for n in names]).cpu() if names else torch.empty(0)
        group.all_reduce_([totals, counts])
        means = dict(zip(names, (totals / counts).tolist(), strict=True))
        means |= {name: float(value) for name, value in self.scalars.items()}
        self.totals, self.counts, self.scalars = {}, {}, {}
        if not_finite := [name for name, value in means.items() if not isfinite(value)]:
            raise TrainingDiverged(f"training diverged: {', '.join(not_finite)} stopped being finite")
        return means
