"""Floating-point operations of a training step, counted on tensors without memory: nothing is computed.

A product and its sum count as two. Torch counts convolutions and matrix products, which are all but a few per cent of
the nets here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genlib.data.batches import Batch
from genlib.training.fit import build_objective, build_train_state
from genlib.training.job import TrainingSpec
from genlib.training.loop import freeze_except

NUM_STEPS = 4  # that are counted of a model with several phases: what is due every 1, 2 or 4 steps counts as often
BATCH_SIZE = 16


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the operations of all that runs under it; torch's own counter forbids a gradient of a gradient."""

    total: int = 0

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def flops_per_image(spec: TrainingSpec, shape: tuple[int, int, int], num_classes: int, num_domains: int) -> float:
    """Operations per image of `shape` [C, H, W] of one whole step, forward and backward, in all phases."""
    meta = torch.device("meta")
    objective = build_objective(spec)
    with meta:
        state = build_train_state(spec, objective, shape, num_classes, num_domains, meta)
    num_steps = NUM_STEPS if len(state.phases) > 1 else 1
    counter: Any = FlopCounter()  # type: ignore[no-untyped-call]
    with counter:
        for step in range(num_steps):
            batch = _build_meta_batch(shape, num_classes, num_domains, step)
            for phase in state.phases:
                if step % phase.interval == 0:
                    freeze_except(phase.module, state.model)
                    torch.autograd.backward(phase.step_losses(batch).loss.sum())
    return float(counter.total / (num_steps * BATCH_SIZE))


def _build_meta_batch(shape: tuple[int, int, int], num_classes: int, num_domains: int, step: int) -> Batch:
    pixels = torch.empty(BATCH_SIZE, *shape, dtype=torch.uint8, device="meta")
    labels = torch.empty(BATCH_SIZE, dtype=torch.int64, device="meta") if num_classes else None
    domain_b = _build_meta_batch(shape, num_classes, 1, step) if num_domains > 1 else None
    return Batch(pixels, labels, BATCH_SIZE, slice(0, BATCH_SIZE), 0, step, domain_b)
