"""A second domain, prepared beside the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genlib.data.config import DataConfig, DomainBConfig
from genlib.data.dataset import content_hash, load_dataset, prepare
from genlib.data.sources import Source
from genlib.data.splits import SPLIT_NAMES
from genlib.errors import InputError

PRINTED = DomainBConfig("printed_digits")


def random_pictures(folder: Path, count: int, size: tuple[int, int], mode: str = "L") -> None:
    folder.mkdir(parents=True)
    draw = np.random.default_rng(count)
    for index in range(count):
        shape = (*size, 3) if mode == "RGB" else size
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{index}.png")


def test_a_second_domain_is_prepared_beside_the_first(tmp_path):
    alone = prepare(DataConfig(image_size=16), tmp_path / "alone")
    info = prepare(DataConfig(image_size=16, domain_b=PRINTED), tmp_path / "both")
    data = load_dataset(tmp_path / "both")
    other = data.domain_b
    assert other is not None and other.domain_b is None
    assert (data.num_domains, other.name, other.shape, other.classes) == (
        2,
        "printed_digits",
        (1, 16, 16),
        data.classes,
    )
    assert info.keys() - alone.keys() == {"other"} and other.info.keys() == alone.keys()
    assert info["other"] == {key: other.info[key] for key in ("name", "source", "counts", "sha256")}
    assert {key for key in alone if info[key] != alone[key]} == {"sha256", "seal"}
    parts = {name: getattr(other, name) for name in SPLIT_NAMES}
    assert content_hash(parts) == other.sha256
    assert other.info["counts"] == {"train": 2520, "valid": 840, "test": 840}
    for part, each in (("train", 252), ("valid", 84), ("test", 84)):
        assert parts[part].labels.bincount().tolist() == [each] * 10
    assert sum(other.info["duplicates"]["removed"].values()) == 0
    every = torch.cat([images.pixels for images in parts.values()]).flatten(1)
    assert len(every.unique(dim=0)) == 4200


def test_printed_digits_have_the_same_hash_everywhere(tmp_path):
    info = prepare(DataConfig(name="printed_digits", image_size=16), tmp_path)
    assert info["sha256"] == "96fbfdd33dfde83dd26238000f9656e4319228600602df195ab385a2c0bd0bfc"


def test_the_hash_follows_the_second_domain(tmp_path):
    digits = DomainBConfig("digits")
    made = [None, digits, replace(digits, seed=1), PRINTED]
    hashes = [prepare(DataConfig(domain_b=other), tmp_path)["sha256"] for other in made]
    assert len(set(hashes)) == len(made)
    assert prepare(DataConfig(domain_b=replace(digits, seed=0)), tmp_path)["sha256"] == hashes[1]


def test_a_second_domain_goes_when_it_is_not_asked_for(tmp_path):
    alone = prepare(DataConfig(), tmp_path / "alone")
    prepare(DataConfig(domain_b=PRINTED), tmp_path / "out")
    (tmp_path / "out" / "other" / "old").touch()
    prepare(DataConfig(domain_b=DomainBConfig("digits")), tmp_path / "out")
    assert (
        load_dataset(tmp_path / "out").domain_b.name == "digits" and not (tmp_path / "out" / "other" / "old").exists()
    )
    assert prepare(DataConfig(), tmp_path / "out") == alone
    assert load_dataset(tmp_path / "out").domain_b is None and not (tmp_path / "out" / "other").exists()


def test_the_description_of_the_first_comes_last(tmp_path, monkeypatch):
    """Whatever is cut short, a folder with a `dataset.json` holds both domains."""
    out = tmp_path / "out"
    prepare(DataConfig(), out)
    moved = []
    replace_file = Path.replace

    def watched(self: Path, target: Path) -> Path:
        if Path(target).parent == out:
            moved.append(Path(target).name)
            assert not (out / "dataset.json").exists()
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    prepare(DataConfig(domain_b=PRINTED), out)
    assert moved[-1] == "dataset.json" and "other" in moved and len(moved) == 5


def test_a_second_domain_that_fails_leaves_the_first_as_it_was(tmp_path):
    out = tmp_path / "out"
    before = prepare(DataConfig(domain_b=PRINTED), out)
    pictures = tmp_path / "pictures"
    random_pictures(pictures / "cat", 4, (8, 8))
    random_pictures(pictures / "dog", 6, (8, 8))
    for index in range(4):
        Image.new("L", (8, 8)).save(pictures / "cat" / f"{index}.png")
    with pytest.raises(InputError, match=r"^data\.domain_b\.root: got no image of class 'cat' left in"):
        prepare(DataConfig(domain_b=DomainBConfig("folder", pictures)), out)
    assert load_dataset(out).sha256 == before["sha256"] and load_dataset(out).domain_b.name == "printed_digits"


def test_without_a_size_the_second_domain_takes_that_of_the_first(tmp_path):
    random_pictures(tmp_path / "trainA", 20, (10, 14))
    random_pictures(tmp_path / "trainB", 25, (31, 9))
    settings = DataConfig(name="folder_a", root=tmp_path, domain_b=DomainBConfig("folder_b"))
    prepare(settings, tmp_path / "out")
    data = load_dataset(tmp_path / "out")
    assert (data.shape, data.domain_b.shape) == ((1, 10, 14), (1, 10, 14))
    assert (data.domain_b.info["counts"], data.domain_b.train.labels) == ({"train": 15, "valid": 5, "test": 5}, None)
    prepare(replace(settings, image_size=12), tmp_path / "out")
    data = load_dataset(tmp_path / "out")
    assert (data.shape, data.domain_b.shape) == ((1, 12, 12), (1, 12, 12))


def test_an_official_split_beside_a_domain_without_a_test_set(tmp_path):
    for name, count in (("trainA", 20), ("testA", 7), ("trainB", 25)):
        random_pictures(tmp_path / name, count, (8, 8))
    prepare(
        DataConfig(name="folder_a", root=tmp_path, split="official", domain_b=DomainBConfig("folder_b")),
        tmp_path / "out",
    )
    data = load_dataset(tmp_path / "out")
    assert (data.info["counts"]["test"], data.info["split"]) == (7, "official")
    assert (data.domain_b.info["counts"]["test"], data.domain_b.info["split"]) == (5, "pooled")


def test_domains_of_other_channels_are_refused_on_reading_too(tmp_path, monkeypatch):
    """A source that tells its channels wrongly."""
    random_pictures(tmp_path / "trainA", 12, (8, 8))
    random_pictures(tmp_path / "trainB", 13, (8, 8), "RGB")
    monkeypatch.setattr(Source, "look", lambda source: replace(source, probe=None))
    with pytest.raises(InputError, match=r"^data\.domain_b: got folder_b with 3 channels, expected 1"):
        prepare(DataConfig(name="folder_a", root=tmp_path, domain_b=DomainBConfig("folder_b")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
