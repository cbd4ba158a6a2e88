"""The options of a training run: one list, with the default and the range of each, for params.yaml and the loop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

COUNT: dict[str, Any] = {"ge": 1, "le": 10**12}
SHARE: dict[str, Any] = {"ge": 0, "lt": 1}
POSITIVE: dict[str, Any] = {"gt": 0}


@dataclass(frozen=True)
class TrainConfig:
    """How long to train, in what steps, by which optimisers; all counts are images seen.

    `batch_size` is the global batch. `accumulate`: a worker adds up the gradients of so many pieces of its rows, which
    hold fewer activations, for the same step. `workers`: 0 trains in this process; a pair is the least and the most.
    `lr_by_phase` overrides `lr` for the phases that it names; params.yaml writes it as `lr_<phase>`. The metadata of a
    field are the range that params.yaml may give it.
    """

    total_images: int = field(default=100_000, metadata=COUNT)
    batch_size: int = field(default=128, metadata={"ge": 1, "le": 2**20})
    accumulate: int = field(default=1, metadata={"ge": 1, "le": 2**20})
    workers: int | Sequence[int] = 0
    seed: int = field(default=0, metadata={"ge": 0, "lt": 2**32})
    lr: float = field(default=1e-3, metadata=POSITIVE)
    lr_by_phase: dict[str, float] = field(default_factory=dict)
    beta1: float = field(default=0.9, metadata=SHARE)
    beta2: float = field(default=0.999, metadata=SHARE)
    eps: float = field(default=1e-8, metadata=POSITIVE)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_fraction: float = field(default=0.0, metadata=SHARE)
    decay_start: float = field(default=0.0, metadata=SHARE)
    ema: float = field(default=0.999, metadata=SHARE)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    report_every: int = field(default=20_000, metadata=COUNT)
    checkpoint_every: int = field(default=100_000, metadata=COUNT)

    def lr_factor(self, progress: float) -> float:
        """The factor of the learning rate at `progress` in [0, 1], the fraction of the images seen: a linear rise until
        `warmup_fraction`, 1 until `decay_start`, then, with t the fraction of the rest: constant 1; linear 1 - t;
        cosine (1 + cos(pi t)) / 2."""
        if progress < self.warmup_fraction:
            return progress / self.warmup_fraction
        begin = max(self.warmup_fraction, self.decay_start)
        t = min(1.0, max(0.0, progress - begin) / (1 - begin))
        return {"constant": 1.0, "linear": 1 - t, "cosine": (1 + math.cos(math.pi * t)) / 2}[self.schedule]
