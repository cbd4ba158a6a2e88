"""Chunks by the size of a row: no more values at a time, the same result."""

from __future__ import annotations

import math

import pytest
import torch

from genlib.data.images import CHUNK_VALUES, MAX_CHUNK, chunk_length
from genlib.models.layers.sampling import map_in_chunks, sample_from

SHAPES = [(1, 16, 16), (3, 32, 32), (3, 64, 64), (3, 128, 128), (3, 256, 256), (3, 1024, 1024)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_chunk_holds_no_more_than_500_small_images(shape):
    rows = chunk_length(shape)
    assert 1 <= rows <= MAX_CHUNK
    assert rows == 1 or rows * math.prod(shape) <= CHUNK_VALUES
    assert rows == MAX_CHUNK or (rows + 1) * math.prod(shape) > CHUNK_VALUES


def enlarge(seen, shape):
    """Codes [n, 2] -> images, noting how many rows come at a time."""

    def decode(z):
        seen.append(len(z))
        return z.sum(1).view(-1, 1, 1, 1).expand(-1, *shape)

    return decode


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_codes_are_decoded_by_the_size_of_their_images(shape):
    z, seen = torch.randn(MAX_CHUNK + 3, 2), []
    images = map_in_chunks(enlarge(seen, shape), z)
    assert torch.equal(images[:, 0, 0, 0], z.sum(1))
    assert seen[0] == 1 and max(seen) == chunk_length(shape) and sum(seen[1:]) == len(z)


def test_samples_do_not_depend_on_the_size_of_a_chunk():
    """A sample of large images has the codes of one of small images, and begins with the shorter one."""
    model = torch.nn.Linear(2, 2)
    small, large = (sample_from(enlarge([], shape), model, 2, 600, 0) for shape in ((1, 2, 2), (3, 64, 64)))
    assert torch.equal(small[:, 0, 0, 0], large[:, 0, 0, 0])
    assert torch.equal(sample_from(enlarge([], (1, 2, 2)), model, 2, 7, 0), small[:7])
