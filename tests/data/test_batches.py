"""Batches: endless, sharded, resumable, and random without regard to who draws."""

from itertools import islice

import pytest
import torch
from numbered_streams import numbered, streamed, united

from genlib.data.batches import batches
from genlib.data.random import shard_slice

sets = pytest.mark.parametrize("made", [numbered, streamed, united])


@pytest.mark.parametrize(("n", "size"), [(10, 4), (7, 7), (3, 8), (64, 1)])
def test_every_epoch_visits_each_image_once(n, size):
    seen = torch.cat([batch.y for batch in islice(batches(numbered(n), size, seed=1), 3 * n)])
    for epoch in seen[: n * (len(seen) // n)].view(-1, n):
        assert sorted(epoch.tolist()) == list(range(n))
    assert not torch.equal(seen[:n], seen[n : 2 * n]) or n < 4


@sets
@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [7, 16])
def test_ranks_share_the_global_batch_and_its_draws(made, size, world):
    whole = islice(batches(made(10), size, seed=3), 4)
    ranks = [islice(batches(made(10), size, seed=3, rank=r, world=world), 4) for r in range(world)]
    for one, *parts in zip(whole, *ranks, strict=True):
        assert torch.equal(one.y, torch.cat([part.y for part in parts]))
        assert torch.equal(one.randn("z", 5), torch.cat([part.randn("z", 5) for part in parts]))
        assert torch.equal(one.rand("u"), torch.cat([part.rand("u") for part in parts]))


@sets
@pytest.mark.parametrize("step", range(12))
def test_a_stream_started_at_a_step_is_the_rest_of_the_stream(made, step):
    late = next(batches(made(10), 4, seed=0, step=step))
    told = list(islice(batches(made(10), 4, seed=0), step + 1))[-1]
    assert torch.equal(late.pixels, told.pixels)
    assert torch.equal(late.randn("z", 2), told.randn("z", 2))


def test_draws_differ_by_name_step_and_seed():
    first, second = islice(batches(numbered(10), 4, seed=0), 2)
    other = next(batches(numbered(10), 4, seed=1))
    draws = [first.randn("z", 3), first.randn("w", 3), second.randn("z", 3), other.randn("z", 3)]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[i + 1 :])


def test_shares_cover_the_batch():
    assert [shard_slice(10, r, 4) for r in range(4)] == [slice(0, 2), slice(2, 5), slice(5, 7), slice(7, 10)]
