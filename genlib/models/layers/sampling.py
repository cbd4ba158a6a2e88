"""Functions of many images, evaluated a chunk at a time: samples of a model, and maps over rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from genlib.data.images import chunk_length
from genlib.data.pixels import Pixels, fill_rows, iter_pieces
from genlib.data.random import seeded_generator

NOISE_BLOCK = 500  # rows of noise drawn at a time
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
def map_in_chunks(function: Callable[..., Tensor], *inputs: Pixels) -> Tensor:
    """function(*inputs) of inputs [n, ...], where each row of the result depends on that row of the inputs alone."""
    rows = _rows_at_a_time(function, inputs)
    chunks = zip(*(iter_pieces(x, rows) for x in inputs), strict=True)
    return fill_rows(((function(*chunk),) for chunk in chunks), len(inputs[0]))[0]


def _rows_at_a_time(function: Callable[..., Tensor], inputs: Sequence[Pixels]) -> int:
    """As the larger of a row and its result allows: one row tells how large an image a code becomes."""
    first = [x[:1] for x in inputs]
    tensors = [*first, function(*first)] if len(inputs[0]) > 1 else first
    return min(chunk_length(x.shape[1:]) for x in tensors)


@torch.no_grad()
def sample_from(
    decode: Decoder, model: nn.Module, latent: int, n: int, seed: int, classes: int = 0, y: Tensor | None = None
) -> Tensor:
    """`n` images decode(z), z ~ N(0, 1) [., latent]; a longer sample begins with a shorter one. With `classes`, the
    images are decode(z, y) of labels y int64 [n], by default drawn uniformly."""
    generator, device = seeded_generator(seed, "sample"), next(model.parameters()).device
    blocks = [torch.randn(NOISE_BLOCK, latent, generator=generator) for _ in range(0, n or 1, NOISE_BLOCK)]
    inputs = [torch.cat(blocks)[:n]]
    if classes:
        drawn = torch.randint(classes, (n,), generator=seeded_generator(seed, "labels"))
        inputs.append(drawn if y is None else y)
    return map_in_chunks(lambda *chunk: decode(*(each.to(device) for each in chunk)).float(), *inputs)
