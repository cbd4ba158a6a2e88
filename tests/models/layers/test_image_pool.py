"""The pool of translated images."""

import pytest
import torch

from genlib.data.random import seeded_generator
from genlib.models.layers.cyclegan import POOL_SIZE, ImagePool


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def fakes(first, n=10):
    """Images [n, 1, 2, 2], each known by its one intensity."""
    return torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 1, 2, 2).clone()


def known(x):
    return x[:, 0, 0, 0].tolist()


def test_the_pool_begins_by_filling():
    pool = ImagePool((1, 2, 2))
    for seen in range(0, POOL_SIZE + 10, 20):
        assert known(pool.query(fakes(seen, 20), seen, seeded_generator(seen))) == list(range(seen, seen + 20))
    assert known(pool.images) == list(range(POOL_SIZE))


@pytest.mark.parametrize(("n", "old"), [(1, 0), (10, 5), (13, 6), (160, 50)])
def test_half_of_what_is_shown_is_old_and_what_it_leaves_is_kept(n, old):
    pool = ImagePool((1, 2, 2))
    pool.query(fakes(0, POOL_SIZE), 0, seeded_generator(0))
    new = fakes(1000, n)
    shown = known(pool.query(new, POOL_SIZE, seeded_generator(1)))
    assert sum(value < POOL_SIZE for value in shown) == old
    assert sorted(shown + known(pool.images)) == sorted([*range(POOL_SIZE), *known(new)])
    assert known(new) == list(range(1000, 1000 + n))


def test_what_is_exchanged_is_drawn():
    def shown(*keys):
        pool = ImagePool((1, 2, 2))
        pool.query(fakes(0, POOL_SIZE), 0, seeded_generator(0))
        return known(pool.query(fakes(1000), POOL_SIZE, seeded_generator(*keys)))

    assert shown("one") == shown("one") != shown("two")
