"""Stratified, disjoint parts: train, valid for selection, test for reports.

`official` takes valid out of the official train set. `pooled` pools, shuffles and splits anew, so that the parts are
exchangeable: MNIST's official test set has other writers, which a test of memorisation takes for copying.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from genlib.data.config import DataConfig
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.errors import InputError

SPLIT_NAMES = ("train", "valid", "test")
MAX_VALID, MAX_TEST = 5_000, 10_000


def split_pool(pool: Images, num_test: int, classes: Sequence[str], config: DataConfig) -> dict[str, Tensor]:
    """The indices [n] of each part; the last `num_test` images of the pool are the official test set. What is divided
    anew is in an order drawn from the seed."""
    total, is_official = len(pool), config.split == "official"
    if is_official and not num_test:
        raise InputError(f"data.split: got official, but {config.name} has no test set, expected pooled")
    test_size = num_test or min(total // 5, MAX_TEST)
    if config.test is not None and not is_official:
        test_size = round(config.test * total)
    rest = total - test_size
    valid_size = min(rest // 4, MAX_VALID) if config.valid is None else round(config.valid * total)
    if is_official:
        test = torch.arange(rest, total)
        return _split(pool[:rest], {"valid": valid_size}, classes, config) | {"test": test}
    return _split(pool, {"valid": valid_size, "test": test_size}, classes, config)


def drop_duplicates(pool: Images, splits: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, dict[str, int]]]:
    """The parts without the images that a later part holds byte for byte, and how many those were: train loses what
    valid or test holds. Copies inside one part are counted (`within`, images beyond the first) and stay."""
    identity = _content_ids(pool)
    seen = torch.zeros(len(pool), dtype=torch.bool)
    remaining, removed, within = dict(splits), {}, {}
    for name in reversed(SPLIT_NAMES):
        ids = identity[splits[name]]
        is_new = ~seen[ids]
        seen[ids] = True
        remaining[name] = splits[name][is_new]
        removed[name] = int((~is_new).sum())
        within[name] = int((ids[is_new].bincount() - 1).clamp(min=0).sum())
    return remaining, {"removed": removed, "within": within}


def require_all_classes(pool: Images, splits: Mapping[str, Tensor], classes: Sequence[str], config: DataConfig) -> None:
    """Refuse a part that has lost a whole class, or everything, to its duplicates."""
    for part, rows in splits.items():
        for name, count in _count_by_class(pool.labels, rows, classes).items():
            if count == 0:
                found = f"no image {f'of class {name!r} ' if name else ''}left in {part} without duplicates"
                raise InputError(f"{config.key}.root: got {found} of {config.root}, expected images that differ")


def stratify(labels: Tensor, sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Indices [N] dealt into parts of `sizes` and a last part of the rest, each in random order. A part's count of each
    class is its quota by largest remainder (Hamilton), but at least one, and the last part gets at least one of each
    too; where a class is so rare that this binds, sizes are met only nearly. Classes of fewer images than parts count
    as one."""
    is_rare = labels.bincount()[labels] <= len(sizes)
    labels = labels.where(~is_rare, int(labels.max()) + 1)
    by_class = labels.bincount()
    rank = _rank_in_class(labels, by_class, generator)
    part_of, assigned = torch.zeros_like(labels), torch.zeros_like(by_class)
    for part, size in enumerate(sizes):
        parts_to_come = len(sizes) - part
        available = (by_class - assigned - parts_to_come).clamp(min=0)
        assigned = assigned + _allocate_quotas(by_class, size).clamp(min=1).minimum(available)
        part_of += rank >= assigned[labels]
    order = torch.randperm(len(labels), generator=generator)
    return [order[part_of[order] == part] for part in range(len(sizes) + 1)]


def _rank_in_class(labels: Tensor, by_class: Tensor, generator: torch.Generator) -> Tensor:
    """Each image's place [N] in a random order of its own class."""
    order = torch.randperm(len(labels), generator=generator)
    grouped = order[labels[order].argsort(stable=True)]
    firsts = by_class.cumsum(0) - by_class
    rank = torch.empty_like(labels)
    rank[grouped] = torch.arange(len(labels)) - firsts[labels[grouped]]
    return rank


def _allocate_quotas(by_class: Tensor, size: int) -> Tensor:
    """Whole numbers in proportion to `by_class` that sum to `size`: floors, then ones to the largest remainders."""
    total = int(by_class.sum())
    floors, remainders = by_class * size // total, by_class * size % total
    last = remainders.argsort(descending=True, stable=True)[: size - int(floors.sum())]
    return floors.index_add(0, last, torch.ones_like(last))


def _split(images: Images, sizes: Mapping[str, int], classes: Sequence[str], config: DataConfig) -> dict[str, Tensor]:
    config.require_min_counts(_count_by_class(images.labels, torch.arange(len(images)), classes))
    if sum(sizes.values()) >= len(images):
        found = f"{config.valid} and {config.test}"
        raise InputError(f"data.valid and data.test: got {found}, expected shares that leave images to train on")
    labels = torch.zeros(len(images), dtype=torch.long) if images.labels is None else images.labels
    indices = stratify(labels, list(sizes.values()), seeded_generator(config.seed, "split", config.split))
    drawn = dict(zip([*sizes, "train"], indices, strict=True))
    return {name: drawn[name] for name in SPLIT_NAMES if name in drawn}


def _count_by_class(labels: Tensor | None, rows: Tensor, classes: Sequence[str]) -> dict[str, int]:
    """Images by class among `rows`; one entry with an empty name for a set without labels."""
    if labels is None:
        return {"": len(rows)}
    return dict(zip(classes, labels[rows].bincount(minlength=len(classes)).tolist(), strict=True))


def _content_ids(images: Images) -> Tensor:
    """One number [N] below N for each image; equal numbers are equal bytes, by a hash of 16 of them."""
    digests = b"".join(hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.pixels.numpy())
    return torch.from_numpy(np.unique(np.frombuffer(digests, "V16"), return_inverse=True)[1])
