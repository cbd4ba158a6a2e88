"""Different images: against a brute force, and those that are left alone."""

import pytest
import torch

from genlib.metrics.result import UndefinedMetric
from genlib.metrics.stats import distinct
from genlib.metrics.stats.distinct import distinct_rows


def test_where_no_image_is_repeated_all_count():
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(distinct_rows(x, torch.zeros(200)), torch.arange(200))


@pytest.mark.parametrize("elements", [1, 1000, 1 << 21])
def test_the_first_of_those_nearer_to_each_other_than_a_tenth_of_the_way_to_the_training_images_counts(
    elements, monkeypatch
):
    monkeypatch.setattr(distinct, "CHUNK_ELEMENTS", elements)
    g = torch.Generator().manual_seed(0)
    x, to_train = torch.rand(150, 2, generator=g), torch.rand(150, generator=g)
    expected = [i for i in range(150) if not any((x[i] - x[j]).norm() <= 0.1 * to_train[i] for j in range(i))]
    assert distinct_rows(x, to_train).tolist() == expected and len(expected) < 140


def test_copies_of_one_image_count_once_wherever_they_lie():
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(1)).repeat(2)
    assert distinct_rows(x[rows], torch.full((120,), 1e-4)).tolist() == list(range(60))


def test_fewer_than_20_are_a_reason():
    with pytest.raises(UndefinedMetric, match="needs at least 20 different images, found 19 among 38"):
        distinct_rows(torch.arange(19.0).repeat(2)[:, None], torch.ones(38))
