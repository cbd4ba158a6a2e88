"""Functions of many images, evaluated a chunk at a time: samples of a model, and maps over rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from genlib.data.random import seeded_generator

CHUNK_SIZE = 500
Decoder = Callable[..., Tensor]  # codes and, of a conditional model, labels -> images


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@torch.no_grad()
def map_in_chunks(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs) of inputs [n, ...], where each row of the result depends on that row of the inputs alone."""
    return torch.cat([function(*chunk) for chunk in zip(*(torch.split(x, CHUNK_SIZE) for x in inputs), strict=True)])


@torch.no_grad()
def sample_from(
    decode: Decoder, model: nn.Module, latent: int, n: int, seed: int, classes: int = 0, y: Tensor | None = None
) -> Tensor:
    """`n` images decode(z), z ~ N(0, 1) [., latent]; a longer sample begins with a shorter one. With `classes`, the
    images are decode(z, y) of labels y int64 [n], by default drawn uniformly."""
    generator, device = seeded_generator(seed, "sample"), next(model.parameters()).device
    z = [torch.randn(CHUNK_SIZE, latent, generator=generator)[: n - start] for start in range(0, n or 1, CHUNK_SIZE)]
    inputs = [z]
    if classes:
        y = torch.randint(classes, (n,), generator=seeded_generator(seed, "labels")) if y is None else y
        inputs.append(list(torch.split(y, CHUNK_SIZE)))
    return torch.cat([decode(*(each.to(device) for each in chunk)).float() for chunk in zip(*inputs, strict=True)])
