"""Splits, duplicates, resizing, hashing and the prepared folder, as properties."""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from genlib.data.batches import seeded_generator
from genlib.data.config import DataConfig, DomainBConfig
from genlib.data.dataset import content_hash, load_dataset, prepare, resize
from genlib.data.images import Images, load_images, save_images
from genlib.data.splits import SPLIT_NAMES, drop_duplicates, require_all_classes, split_pool, stratify
from genlib.errors import InputError

SETTINGS = DataConfig(name="made")
CLASSES = tuple("abc")


def made(count: int, *, first: int = 0, labelled: bool = True) -> Images:
    """`count` images that differ: the number of each is written in its pixels, its class is the number modulo 3."""
    numbers = torch.arange(first, first + count)
    pixels = torch.stack([numbers % 256, numbers // 256, numbers * 7 % 256, numbers * 0], 1).to(torch.uint8)
    return Images(pixels.view(count, 1, 2, 2), numbers % 3 if labelled else None)


def divided(train: Images, test: Images | None, classes, settings) -> dict[str, Images]:
    """The images of every part."""
    pool = train if test is None else train + test
    rows = split_pool(pool, len(test or ()), classes, settings)
    return {name: pool[part] for name, part in rows.items()}


def numbers(images: Images) -> list[int]:
    flat = images.pixels.flatten(1).long()
    return (flat[:, 0] + 256 * flat[:, 1]).tolist()


# splits


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


# duplicates


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


# files


@pytest.mark.parametrize("count", [1, 7, 3000])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_saved_set_is_what_safetensors_writes(tmp_path, count, labelled):
    images, path = made(count, labelled=labelled), tmp_path / "images.safetensors"
    save_images(images, path)
    tensors = {"pixels": images.pixels} | ({"labels": images.labels} if labelled else {})
    save_file(tensors, tmp_path / "theirs.safetensors")
    assert path.read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()
    rows = torch.arange(count).flip(0)[: count // 2]
    save_images(images, path, rows)
    assert numbers(load_images(path)) == rows.tolist()


SPARE = """
import sys, threading, time
from pathlib import Path
from genlib.data import dataset, images
from genlib.data.config import DataSettings
images.LARGE = int(sys.argv[1])
def held():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024
most, done, before = 0.0, threading.Event(), held()
def watch():
    global most
    while not done.wait(0.005):
        most = max(most, held())
threading.Thread(target=watch).start()
info = dataset.prepare(DataSettings(name="folder", root=Path("pictures"), image_size=1000), Path(sys.argv[2]))
done.set()
print(most - before, info["sha256"])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc that tells what a process holds")
def test_a_large_set_is_prepared_without_being_held(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for index in range(60):
        pixels = draw.integers(0, 256, (100, 100, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    found = {}
    for large in (0, 2**31):
        command = [sys.executable, "-c", SPARE, str(large), str(tmp_path / str(large))]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
        found[large] = (float(told[0]), told[1])
    whole = 60 * 3 * 1000**2 / 2**20
    assert found[0][1] == found[2**31][1]
    assert found[0][0] < found[2**31][0] - 0.8 * whole


# resizing


@pytest.mark.parametrize("side", [3, 8, 16, 33])
def test_resizing_keeps_constants(side):
    pixels = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 3, 12, 9)
    resized = resize(Images(pixels), side, side)
    assert resized.shape == (3, side, side)
    assert (resized.pixels == pixels[:, :, :1, :1]).all()


def test_resizing_neither_wraps_nor_aliases():
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    row = resize(Images(edge), 16, 16).pixels[0, 0, 5].int()
    assert row.diff().min() >= -20 and row[:6].max() <= 20 and row[10:].min() >= 235
    checks = (torch.arange(64).view(-1, 1) + torch.arange(64)) % 2 * 255
    grey = resize(Images(checks.to(torch.uint8).view(1, 1, 64, 64)), 8, 8).pixels[..., 2:6, 2:6]
    assert (grey.float() - 127.5).abs().max() < 2


def test_resizing_agrees_with_pillow_and_with_any_chunk():
    pixels = torch.randint(0, 256, (10, 1, 28, 28), dtype=torch.uint8, generator=seeded_generator(0))
    whole = resize(Images(pixels), 19, 19).pixels
    assert torch.equal(whole, resize(Images(pixels), 19, 19, chunk=3).pixels)
    theirs = [np.asarray(Image.fromarray(p.numpy()).resize((19, 19), Image.Resampling.BICUBIC)) for p in pixels[:, 0]]
    gap = (whole[:, 0].int() - torch.from_numpy(np.stack(theirs)).int()).abs()
    assert gap.max() <= 8 and gap.float().mean() < 0.5  # Pillow also clips between its two passes


# the content hash and the prepared folder


def test_hash_sees_every_pixel_and_label():
    def parts():
        return {"train": made(30), "valid": made(9), "test": made(9)}

    first = content_hash(parts())
    assert content_hash(dict(reversed(parts().items()))) == first
    pixel, label = parts(), parts()
    pixel["test"].pixels[4, 0, 1, 1] += 1
    label["valid"].labels[3] += 1
    bare = parts() | {"train": made(30, labelled=False)}
    assert len({first, content_hash(pixel), content_hash(label), content_hash(bare)}) == 4


def test_digits_have_the_same_hash_everywhere(tmp_path):
    info = prepare(DataConfig(image_size=16), tmp_path / "prepared")
    assert info["counts"] == {"train": 1079, "valid": 359, "test": 359}
    assert info["sha256"] == "564c78ca5e7e4a0cd18d16020151a4cedc81753a7582d85690fbc26f2f8214af"


def test_prepared_twice_is_identical(tmp_path):
    out = tmp_path / "prepared"
    info = prepare(DataConfig(image_size=16), out)
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert prepare(DataConfig(image_size=16), out) == info
    assert first == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert sorted(first) == ["dataset.json", "test.safetensors", "train.safetensors", "valid.safetensors"]
    assert list(tmp_path.iterdir()) == [out]


def test_loaded_is_what_was_prepared(tmp_path):
    info = prepare(DataConfig(image_size=12, seed=3), tmp_path)
    data = load_dataset(tmp_path)
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    assert (data.name, data.shape, data.classes) == ("digits", (1, 12, 12), list("0123456789"))
    assert content_hash(parts) == data.sha256 == info["sha256"]
    assert data.info == info and data.train is data.train
    assert (info["split"], info["seed"], info["image_size"]) == ("pooled", 3, 12)


def test_folders_are_prepared(tmp_path):
    draw = np.random.default_rng(0)
    for index in range(20):
        size = (5 + index, 30 - index)
        Image.fromarray(draw.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    Image.open(tmp_path / "7.png").save(tmp_path / "copy.png")
    prepare(DataConfig(name="folder", root=tmp_path, image_size=10), tmp_path / "out")
    data = load_dataset(tmp_path / "out")
    assert (data.classes, data.shape, data.train.labels) == ([], (3, 10, 10), None)
    assert sum(data.info["counts"].values()) + sum(data.info["duplicates"]["removed"].values()) == 21


# two domains

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
    random_pictures(pictures / "dog", 5, (8, 8))
    for index in range(4):
        Image.new("L", (8, 8)).save(pictures / "cat" / f"{index}.png")
    with pytest.raises(InputError, match=r"^data\.other\.root: found no image of class 'cat' left in"):
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
    random_pictures(tmp_path / "trainA", 9, (8, 8))
    random_pictures(tmp_path / "trainB", 9, (8, 8), "RGB")
    monkeypatch.setattr("genlib.data.image_folder.glance", lambda *_: 1)
    with pytest.raises(InputError, match=r"^data\.other: got folder_b with 3 channels, expected 1"):
        prepare(DataConfig(name="folder_a", root=tmp_path, domain_b=DomainBConfig("folder_b")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def write(folder: Path, **changes) -> None:
    """Change the description, and take the seal away that would tell."""
    info = json.loads((folder / "dataset.json").read_text()) | {"seal": None} | changes
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in info.items() if v is not None}))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda folder: (folder / "dataset.json").unlink(), "dataset.json"),
        (lambda folder: (folder / "dataset.json").write_text("{"), "dataset.json"),
        (lambda folder: (folder / "dataset.json").write_text("[]"), "list"),
        (lambda folder: write(folder, sha256=None), "sha256"),
        (lambda folder: write(folder, classes="ten"), "classes"),
        (lambda folder: write(folder, shape=[16, 16]), "shape"),
        (lambda folder: write(folder, counts={"train": 1}), "counts"),
        (lambda folder: write(folder, counts={"train": 1, "valid": 1, "test": 1}), "other images"),
        (lambda folder: write(folder, classes=[]), "other images"),
        (lambda folder: (folder / "train.safetensors").unlink(), "train.safetensors"),
        (lambda folder: (folder / "train.safetensors").write_bytes(b"half"), "train.safetensors"),
    ],
)
def test_damaged_folders_are_refused(damage, word, tmp_path):
    prepare(DataConfig(), tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError) as caught:
        _ = load_dataset(tmp_path).train
    assert word in str(caught.value) and "prepare" in str(caught.value) and "\n" not in str(caught.value)


def test_full_disk(tmp_path):
    out = tmp_path / "prepared"
    before = prepare(DataConfig(), out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"prepared: found that it cannot be written"):
            prepare(DataConfig(image_size=16), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_dataset(out).sha256 == before["sha256"] == prepare(DataConfig(), out)["sha256"]
    assert list(tmp_path.iterdir()) == [out]


def test_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "prepared").touch()
    with pytest.raises(InputError, match="prepared"):
        prepare(DataConfig(), tmp_path / "prepared")
    assert [path.name for path in tmp_path.iterdir()] == ["prepared"]


def test_mnist_is_split_in_seconds(tmp_path):
    root = Path(__file__).parents[1] / ".." / "shared" / "data"
    if not (root / "MNIST").is_dir():
        pytest.skip(f"no MNIST in {root}")
    info = prepare(DataConfig(name="mnist", root=root, split="official"), tmp_path)
    assert info["counts"] == {"train": 55000, "valid": 5000, "test": 10000}
    assert load_dataset(tmp_path).test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
