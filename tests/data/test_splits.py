"""Splits and duplicates, as properties."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from numbered_images import made, numbers

from genlib.data.config import DataConfig
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.data.splits import SPLIT_NAMES, drop_duplicates, require_all_classes, split_pool, stratify
from genlib.errors import InputError
from genlib.params import load_params

SETTINGS = DataConfig(name="made")


CLASSES = tuple("abc")


def divided(train: Images, test: Images | None, classes, settings) -> dict[str, Images]:
    """The images of every part."""
    pool = train if test is None else Images.concat([train, test])
    rows = split_pool(pool, len(test or ()), classes, settings)
    return {name: pool[part] for name, part in rows.items()}


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("kind", "official"), [("pooled", False), ("pooled", True), ("official", True)])
@pytest.mark.parametrize("count", [9, 100, 1001])
def test_disjoint_and_complete(count, kind, official, labelled):
    train, test = made(count, labelled=labelled), made(50, first=count, labelled=labelled) if official else None
    parts = divided(train, test, CLASSES if labelled else (), replace(SETTINGS, split=kind))
    assert tuple(parts) == SPLIT_NAMES and all(len(part) for part in parts.values())
    assert sorted(itertools.chain(*map(numbers, parts.values()))) == list(range(count + 50 * official))
    for part in parts.values():
        assert part.labels is None if not labelled else part.labels.tolist() == [i % 3 for i in numbers(part)]


def test_default_sizes():
    def sizes(count, tested, kind):
        parts = divided(
            made(count), made(tested, first=count) if tested else None, CLASSES, replace(SETTINGS, split=kind)
        )
        return [len(parts[name]) for name in SPLIT_NAMES]

    assert sizes(1000, 0, "pooled") == [600, 200, 200]
    assert sizes(60000, 10000, "official") == sizes(60000, 10000, "pooled") == [55000, 5000, 10000]
    assert sizes(65000, 0, "pooled") == [50000, 5000, 10000]


def test_the_default_set_has_a_thousand_test_images_and_a_larger_reserve():
    config = load_params(Path(__file__).parents[2] / "params.yaml").data.to_config()
    parts = split_pool(made(5000), 0, CLASSES, config)  # as many as mnist5k has
    assert [len(parts[name]) for name in SPLIT_NAMES] == [2500, 1500, 1000]


def test_asked_sizes():
    parts = divided(made(1000), None, CLASSES, replace(SETTINGS, valid=0.05, test=0.333))
    assert [len(parts[name]) for name in SPLIT_NAMES] == [617, 50, 333]


def test_official_test_is_untouched():
    train, test = made(300), made(60, first=300)
    parts = divided(train, test, CLASSES, replace(SETTINGS, split="official"))
    assert numbers(parts["test"]) == numbers(test)
    assert set(numbers(parts["valid"])) < set(numbers(train))


@pytest.mark.parametrize("sizes", [[20, 20], [7, 31], [1, 1]])
@pytest.mark.parametrize("by_class", [[50, 30, 20], [97, 2, 1], [33, 33, 34], [60, 0, 40]])
def test_stratified_by_largest_remainder(by_class, sizes):
    labels = torch.arange(3).repeat_interleave(torch.tensor(by_class))
    parts = stratify(labels, sizes, seeded_generator(0))
    assert sorted(torch.cat(parts).tolist()) == list(range(100))
    if min(count for count in by_class if count) * min(sizes) < 100:
        return  # at least one of each class binds
    for part, size in zip(parts, sizes, strict=False):
        counts = labels[part].bincount(minlength=3)
        assert len(part) == size
        assert (counts - torch.tensor(by_class) * size / 100).abs().max() < 1


def test_rare_classes_are_in_every_part():
    labels = torch.tensor([0] * 994 + [1] * 3 + [2] * 3)
    for part in stratify(labels, [100, 100], seeded_generator(0)):
        assert labels[part].bincount().min() >= 1


def test_parts_are_in_random_order():
    """No class is favoured among the first: the mean class of a half is that of the whole."""
    labels = torch.arange(4).repeat_interleave(torch.tensor([2000, 1000, 3000, 1500]))
    for part in stratify(labels, [1500, 1500], seeded_generator(0)):
        first, whole = labels[part][: len(part) // 4].float(), labels[part].float()
        assert abs(first.mean() - whole.mean()) < 4 * whole.std() / len(first) ** 0.5
        assert labels[part][:100].unique().numel() == 4


def test_seeded():
    def drawn(seed, kind="pooled"):
        parts = divided(made(300), made(60, first=300), CLASSES, replace(SETTINGS, seed=seed, split=kind))
        return [numbers(parts[name]) for name in ("train", "valid")]

    assert drawn(0) == drawn(0)
    assert sorted(drawn(0)[1]) != sorted(drawn(1)[1])
    assert sorted(drawn(0, "official")[1]) != sorted(drawn(1, "official")[1])


@pytest.mark.parametrize(
    ("train", "settings", "words"),
    [
        (made(60), replace(SETTINGS, split="official"), ["data.split", "made", "pooled"]),
        (made(8), SETTINGS, ["data.root", "2 images of class 'c'", "at least 3"]),
        (made(2, labelled=False), SETTINGS, ["data.root", "2 images in", "at least 3"]),
        (made(300), replace(SETTINGS, valid=0.5, test=0.4999), ["data.valid", "0.5 and 0.4999"]),
    ],
)
def test_refused(train, settings, words):
    with pytest.raises(InputError) as caught:
        divided(train, None, CLASSES, settings)
    assert [word for word in words if word not in str(caught.value)] == []


def kept_of(**parts: Images) -> tuple[dict[str, list[int]], dict[str, dict[str, int]]]:
    """The numbers of what is kept of each part, and what was found."""
    pool = Images.concat(list(parts.values()))
    ends = torch.tensor([len(images) for images in parts.values()]).cumsum(0)[:-1]
    rows = dict(zip(parts, torch.arange(len(pool)).tensor_split(ends), strict=True))
    kept, found = drop_duplicates(pool, rows)
    assert tuple(kept) == SPLIT_NAMES
    return {name: numbers(pool[part]) for name, part in kept.items()}, found


def test_planted_duplicates_are_found_and_removed():
    test = made(30) + made(4)  # 4 copies inside
    valid = made(20, first=100) + made(3, first=10)  # 3 are in test
    train = Images.concat(
        [made(90, first=200), made(5, first=5), made(6, first=102), made(2, first=10), made(7, first=200)]
    )
    kept, found = kept_of(train=train, valid=valid, test=test)
    assert found == {
        "removed": {"train": 13, "valid": 3, "test": 0},
        "within": {"train": 7, "valid": 0, "test": 4},
    }
    assert kept["test"] == numbers(test)
    assert kept["valid"] == list(range(100, 120))
    assert kept["train"] == [*range(200, 290), *range(200, 207)]


def test_one_bit_makes_no_duplicate():
    train, test = made(40), made(40)
    test.pixels[:, 0, 1, 1] = 1
    kept, found = kept_of(train=train, valid=made(5, first=100), test=test)
    assert sum(found["removed"].values()) == 0 and kept["train"] == numbers(train)


def test_a_class_lost_to_duplicates_is_refused():
    rows = torch.arange(30)
    with pytest.raises(InputError, match=r"no image of class 'b' left in train"):
        require_all_classes(
            made(30), {"train": rows[rows % 3 != 1], "valid": rows[:9], "test": rows[:9]}, CLASSES, SETTINGS
        )
