"""Which jobs may add up the gradients of pieces of a batch: those in which pieces give the gradient of the whole.

Draws are of the global batch and sliced, lazy penalties go by the step, and a loss is one value an image, so most jobs
do. Layers that change with each pass, image pools, and packs that a piece would cut do not.
"""

from typing import Any

from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from genlib.data.random import shard_slice
from genlib.objectives.common.phases import Objective
from genlib.training.config import TrainConfig

_LAYERS = {
    nn.modules.batchnorm._BatchNorm: "batch normalisation takes the statistics of a pass",
    _SpectralNorm: "spectral normalisation changes with each pass",
}


def require_separable_batch(config: TrainConfig, objective: Objective, model: nn.Module) -> None:
    """Raises ValueError where `config.accumulate` pieces of a batch would not give the step of the whole."""
    if config.accumulate == 1:
        return
    sizes = piece_sizes(config)
    if min(sizes) < 1:
        most = config.batch_size // max_workers(config)
        raise ValueError(f"train.accumulate: got {config.accumulate}, expected at most {most}, a worker's images")
    if reason := objective.whole_batch or _changing_layer(model):
        raise ValueError(f"train.accumulate: got {config.accumulate}, expected 1, since {reason}")
    pack: Any = getattr(model, "pack", 1)
    if any(size % pack for size in sizes):
        raise ValueError(f"train.accumulate: got pieces of {min(sizes)} images, expected a multiple of pack: {pack}")


def max_workers(config: TrainConfig) -> int:
    return max(1, config.workers if isinstance(config.workers, int) else config.workers[1])


def piece_sizes(config: TrainConfig) -> list[int]:
    """Images of each piece of each worker."""
    shards = [shard_slice(config.batch_size, rank, max_workers(config)) for rank in range(max_workers(config))]
    pieces = [
        shard_slice(rows.stop - rows.start, i, config.accumulate) for rows in shards for i in range(config.accumulate)
    ]
    return [piece.stop - piece.start for piece in pieces]


def _changing_layer(model: nn.Module) -> str:
    return next((why for kind, why in _LAYERS.items() if any(isinstance(m, kind) for m in model.modules())), "")
