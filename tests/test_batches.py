"""Batches: endless, sharded, resumable, and random without regard to who draws."""

from itertools import islice

import pytest
import torch

from genlib.data import streaming as pieces
from genlib.data.batches import batches, shard_slice
from genlib.data.images import Images, load_images, save_images, to_float, to_pixels
from genlib.data.streaming import Block, ConcatReader, StreamedImages
from genlib.errors import InputError


def numbered(n):
    return Images(torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1), torch.arange(n))


def streamed(n):
    """The same set, read piece by piece."""
    images = numbered(n)
    return StreamedImages(n, lambda asked: (images[piece.shuffled_rows()] for piece in asked), block_size=3)


def united(n):
    """The same set in two, of which one is at hand."""
    whole = numbered(n)
    return StreamedImages.from_images(whole[: n // 3]) + StreamedImages(
        n - n // 3, lambda asked: (whole[n // 3 :][piece.shuffled_rows()] for piece in asked), block_size=3
    )


@pytest.mark.parametrize(("shape", "size"), [((1, 28, 28), 1024), ((3, 64, 64), 341), ((3, 2048, 2048), 1)])
def test_pieces_are_of_a_few_megabytes(shape, size):
    assert StreamedImages.from_reader(10**6, shape, iter).block_size == size


sets = pytest.mark.parametrize("made", [numbered, streamed, united])
apart = pytest.mark.parametrize("made", [streamed, united])


@pytest.mark.parametrize(("n", "size"), [(10, 4), (7, 7), (3, 8), (64, 1)])
def test_every_epoch_visits_each_image_once(n, size):
    seen = torch.cat([batch.y for batch in islice(batches(numbered(n), size, seed=1), 3 * n)])
    for epoch in seen[: n * (len(seen) // n)].view(-1, n):
        assert sorted(epoch.tolist()) == list(range(n))
    assert not torch.equal(seen[:n], seen[n : 2 * n]) or n < 4


@apart
@pytest.mark.parametrize("lanes", [1, 2, 4, 16])
def test_every_lane_of_a_streamed_set_visits_each_of_its_images_once_an_epoch(made, lanes, monkeypatch):
    monkeypatch.setattr(pieces, "LANES", lanes)
    n, size = 160, 16
    seen = torch.stack([batch.y for batch in islice(batches(made(n), size, seed=1), 3 * n // size)])
    by_lane = seen.view(len(seen), lanes, -1).transpose(0, 1).reshape(lanes, 3, n // lanes)
    assert torch.equal(by_lane.sort(2).values, torch.arange(n).view(lanes, 1, -1).expand(-1, 3, -1))
    orders = {tuple(epoch) for lane in by_lane.tolist() for epoch in lane}
    assert len(orders) == 3 * lanes


@apart
@pytest.mark.parametrize("n", [16, 17, 100, 250])
@pytest.mark.parametrize("size", [1, 6, 7, 64, 128, 300])
def test_a_streamed_set_of_any_size_shows_all_its_images_alike(made, n, size):
    steps = 20 * n // size + 1
    seen = torch.cat([batch.y for batch in islice(batches(made(n), size, seed=2), steps)])
    counts = seen.bincount(minlength=n)
    assert counts.max() - counts.min() <= 1 + counts.float().mean() * 2 * pieces.MAX_STRIPES / n


def test_a_set_that_no_lane_touches_is_not_read():
    def never(pieces):
        raise AssertionError("read")
        yield

    read = ConcatReader(160, lambda asked: (numbered(160)[piece.shuffled_rows()] for piece in asked), never)
    pieces_of_the_first = iter([Block(0, 3, 0, 0), Block(100, 103, 0, 0)])
    assert [len(images) for images in read(pieces_of_the_first)] == [3, 3]


def test_a_rank_reads_only_the_lanes_that_its_rows_lie_in():
    asked = []

    def read(wanted):
        for piece in wanted:
            asked.append(piece.start)
            yield numbered(160)[piece.order()]

    list(islice(batches(StreamedImages(160, read, block_size=3), 32, seed=0, rank=1, world=2), 10))
    assert min(asked) >= 80


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


def test_pixels_and_floats_are_inverse():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(to_float(pixels)), pixels)
    assert to_float(pixels).min() == -1
    assert to_float(pixels).max() == 1
    assert to_pixels(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_images_without_labels_survive_the_file(tmp_path):
    images = Images(torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8))
    save_images(images, tmp_path / "x.safetensors")
    found = load_images(tmp_path / "x.safetensors")
    assert torch.equal(found.pixels, images.pixels)
    assert found.labels is None


@pytest.mark.parametrize("content", [b"", b"not a tensor file"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors"):
        load_images(path)
