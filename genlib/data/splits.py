"""Three disjoint parts: train to learn from, valid to choose by, test to report on.

`official` keeps the source's own test set as it is and takes valid out of its train set. `pooled` puts both together,
shuffles and divides anew, so that the three parts are exchangeable: MNIST's official test set has other writers, which
a test of memorisation takes for copying. Either way every class has its share in every part, to the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.data.images import Images
from genlib.data.settings import DataSettings, require_enough
from genlib.errors import InputError

PARTS = ("train", "valid", "test")
LARGEST_VALID, LARGEST_TEST = 5_000, 10_000


def split(train: Images, test: Images | None, classes: Sequence[str], settings: DataSettings) -> dict[str, Images]:
    """The parts by name; what was divided anew is in an order drawn from the seed."""
    total = len(train) + (0 if test is None else len(test))
    if settings.split == "official":
        if test is None:
            raise InputError(f"data.split: found official, but {settings.name} has no test set, legal: pooled")
        valid_size = _valid_size(settings.valid, total, len(train))
        return _divide(train, {"valid": valid_size}, classes, settings) | {"test": test}
    test_size = _test_size(settings.test, total, test)
    valid_size = _valid_size(settings.valid, total, total - test_size)
    pool = train if test is None else _join(train, test)
    return _divide(pool, {"valid": valid_size, "test": test_size}, classes, settings)


def drop_duplicates(parts: Mapping[str, Images]) -> tuple[dict[str, Images], dict[str, dict[str, int]]]:
    """The parts without the images that a later part holds byte for byte, and how many those were.

    Test keeps all, valid loses what test holds, train what either holds. Copies inside one part are counted
    (`within`, images beyond the first) and stay.
    """
    order = [name for name in reversed(PARTS) if name in parts]
    ids = dict(zip(order, _identities([parts[name].pixels for name in order]), strict=True))
    seen = torch.zeros(1 + max(int(each.max()) for each in ids.values()), dtype=torch.bool)
    kept, removed, within = dict(parts), {}, {}
    for name in order:
        fresh = ~seen[ids[name]]
        seen[ids[name]] = True
        kept[name] = parts[name] if fresh.all() else parts[name][fresh.nonzero().flatten()]
        removed[name] = int((~fresh).sum())
        within[name] = int((ids[name][fresh].bincount() - 1).clamp(min=0).sum())
    return kept, {"removed": removed, "within": within}


def require_classes(parts: Mapping[str, Images], classes: Sequence[str], settings: DataSettings) -> None:
    """Refuse a part that has lost a whole class, or everything, to its duplicates."""
    for part, images in parts.items():
        for name, count in _counts(images, classes).items():
            if count == 0:
                left = f"of class {name!r} " if name else ""
                raise InputError(
                    f"data.root: found no image {left}left in {part} once duplicates are removed from {settings.root}, "
                    "legal: images that differ"
                )


def stratify(labels: Tensor, sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Indices [N] dealt into parts of `sizes` and a last part of the rest, each in random order.

    A part's count of each class is its quota by largest remainder (Hamilton), but at least one, and the last part gets
    at least one of each too; where a class is so rare that this binds, sizes are met only nearly.
    """
    by_class = labels.bincount()
    rank = _rank_in_class(labels, by_class, generator)
    part_of, taken = torch.zeros_like(labels), torch.zeros_like(by_class)
    for part, size in enumerate(sizes):
        parts_to_come = len(sizes) - part
        room = (by_class - taken - parts_to_come).clamp(min=0)
        taken = taken + _quotas(by_class, size).clamp(min=1).minimum(room)
        part_of += rank >= taken[labels]
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


def _quotas(by_class: Tensor, size: int) -> Tensor:
    """Whole numbers in proportion to `by_class` that sum to `size`: floors, then ones to the largest remainders."""
    total = int(by_class.sum())
    floors, remainders = by_class * size // total, by_class * size % total
    last = remainders.argsort(descending=True, stable=True)[: size - int(floors.sum())]
    return floors.index_add(0, last, torch.ones_like(last))


def _divide(
    images: Images, sizes: Mapping[str, int], classes: Sequence[str], settings: DataSettings
) -> dict[str, Images]:
    require_enough(_counts(images, classes), settings)
    if sum(sizes.values()) >= len(images):
        shares = f"{settings.valid} and {settings.test}"
        raise InputError(f"data.valid and data.test: found {shares}, legal: shares that leave images to train on")
    labels = torch.zeros(len(images), dtype=torch.long) if images.labels is None else images.labels
    indices = stratify(labels, list(sizes.values()), seeded(settings.seed, "split", settings.split))
    drawn = dict(zip([*sizes, "train"], indices, strict=True))
    return {name: images[drawn[name]] for name in PARTS if name in drawn}


def _test_size(share: float | None, total: int, official: Images | None) -> int:
    if share is not None:
        return round(share * total)
    return min(total // 5, LARGEST_TEST) if official is None else len(official)


def _valid_size(share: float | None, total: int, rest: int) -> int:
    return min(rest // 4, LARGEST_VALID) if share is None else round(share * total)


def _join(first: Images, second: Images) -> Images:
    pixels = torch.cat([first.pixels, second.pixels])
    if first.labels is None or second.labels is None:
        return Images(pixels)
    return Images(pixels, torch.cat([first.labels, second.labels]))


def _counts(images: Images, classes: Sequence[str]) -> dict[str, int]:
    """Images by class; one entry with an empty name for a set without labels."""
    if images.labels is None:
        return {"": len(images)}
    return dict(zip(classes, images.labels.bincount(minlength=len(classes)).tolist(), strict=True))


def _identities(sets: Sequence[Tensor]) -> list[Tensor]:
    """One number per image of each set; equal numbers are equal bytes."""
    import numpy as np

    rows = np.concatenate([pixels.flatten(1).contiguous().numpy() for pixels in sets])
    whole = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    ids = torch.from_numpy(np.unique(whole, return_inverse=True)[1])
    return list(torch.split(ids, [len(pixels) for pixels in sets]))
