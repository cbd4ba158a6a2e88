"""Streamed sets: every stripe visits its images once an epoch, and a rank reads its own stripes only."""

from itertools import islice

import pytest
import torch
from numbered_streams import numbered, streamed, united

from genlib.data import streaming
from genlib.data.batches import batches
from genlib.data.streaming import Block, ConcatReader, StreamedImages


@pytest.mark.parametrize(("shape", "size"), [((1, 28, 28), 1024), ((3, 64, 64), 341), ((3, 2048, 2048), 1)])
def test_blocks_are_of_a_few_megabytes(shape, size):
    assert StreamedImages.from_reader(10**6, shape, iter).block_size == size


apart = pytest.mark.parametrize("made", [streamed, united])


@apart
@pytest.mark.parametrize("stripes", [1, 2, 4, 16])
def test_every_stripe_of_a_streamed_set_visits_each_of_its_images_once_an_epoch(made, stripes, monkeypatch):
    monkeypatch.setattr(streaming, "MAX_STRIPES", stripes)
    n, size = 160, 16
    seen = torch.stack([batch.y for batch in islice(batches(made(n), size, seed=1), 3 * n // size)])
    by_stripe = seen.view(len(seen), stripes, -1).transpose(0, 1).reshape(stripes, 3, n // stripes)
    assert torch.equal(by_stripe.sort(2).values, torch.arange(n).view(stripes, 1, -1).expand(-1, 3, -1))
    orders = {tuple(epoch) for stripe in by_stripe.tolist() for epoch in stripe}
    assert len(orders) == 3 * stripes


@apart
@pytest.mark.parametrize("n", [16, 17, 100, 250])
@pytest.mark.parametrize("size", [1, 6, 7, 64, 128, 300])
def test_a_streamed_set_of_any_size_shows_all_its_images_alike(made, n, size):
    steps = 20 * n // size + 1
    seen = torch.cat([batch.y for batch in islice(batches(made(n), size, seed=2), steps)])
    counts = seen.bincount(minlength=n)
    assert counts.max() - counts.min() <= 1 + counts.float().mean() * 2 * streaming.MAX_STRIPES / n


def test_a_set_that_no_block_touches_is_not_read():
    def never(blocks):
        raise AssertionError("read")
        yield

    read = ConcatReader(160, lambda blocks: (numbered(160)[block.shuffled_rows()] for block in blocks), never)
    blocks_of_the_first = iter([Block(0, 3, 0, 0), Block(100, 103, 0, 0)])
    assert [len(images) for images in read(blocks_of_the_first)] == [3, 3]


def test_a_rank_reads_only_the_stripes_that_its_rows_lie_in():
    asked = []

    def read(blocks):
        for block in blocks:
            asked.append(block.start)
            yield numbered(160)[block.shuffled_rows()]

    list(islice(batches(StreamedImages(160, read, block_size=3), 32, seed=0, rank=1, world=2), 10))
    assert min(asked) >= 80
