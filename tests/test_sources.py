"""Every source: what it reads, in which order, and how it refuses what it cannot read."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genlib.data import sources
from genlib.data.config import DataConfig, DomainBConfig, find_domains, find_source
from genlib.data.dataset import prepare, resize
from genlib.data.fonts import FONTS, render_digits, render_glyphs
from genlib.data.image_folder import PROBE_FILES, natural_sort_key
from genlib.data.images import Images
from genlib.data.sources import Source
from genlib.errors import InputError

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
DIGITS = DataConfig()
fresh = itertools.count()


def picture(path: Path, mode: str = "L", size: tuple[int, int] = (9, 7), value: int | None = None) -> Path:
    """An image file unlike every other; with `value`, of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(next(fresh)).integers(0, 256, shape, dtype=np.uint8)
    if value is not None:
        pixels[:] = value
    Image.fromarray(pixels).save(path)
    return path


def classes(root: Path, count: int = 4, **looks) -> Path:
    for name in ("cat", "dog"):
        for index in range(count):
            picture(root / name / f"{index}.png", **looks)
    return root


def folder(root: Path, **changes) -> DataConfig:
    return replace(DataConfig(name="folder", root=root), **changes)


# what is read


def test_digits():
    source = find_source(DIGITS)
    images = source.train()
    assert (len(images), images.shape, source.test, len(source.classes)) == (1797, (1, 8, 8), None, 10)
    assert images.pixels.unique().tolist() == [round(value * 255 / 16) for value in range(17)]
    assert images.labels is not None
    assert images.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.fixture(scope="module")
def prints() -> Images:
    return render_digits(seed=0)


def test_printed_digits(prints):
    source = find_source(DataConfig(name="printed_digits"))
    images = source.train()
    assert (source.test, source.classes, source.channels) == (None, tuple("0123456789"), 1)
    assert (images.pixels.dtype, images.shape, images.labels.bincount().tolist()) == (
        torch.uint8,
        (1, 32, 32),
        [420] * 10,
    )
    assert torch.equal(images.pixels, prints.pixels) and torch.equal(images.labels, prints.labels)
    assert not torch.equal(render_digits(seed=1).pixels, prints.pixels)


@pytest.mark.parametrize("side", [16, 28, 32])
def test_no_printed_digit_comes_twice(prints, side):
    pixels = resize(prints, side, side).pixels.flatten(1)
    assert len(pixels.unique(dim=0)) == len(pixels) == 4200


def test_every_font_has_ten_digits():
    """Drawn, apart from each other, and each nearer to the mean shape of its own digit than to any other's."""
    shapes = render_glyphs().flatten(1).view(10, len(FONTS), -1)
    assert shapes.mean(2).min() > 0.03
    assert min(torch.nn.functional.pdist(shapes[:, font]).min() for font in range(len(FONTS))) > 5
    nearest = torch.cdist(shapes.transpose(0, 1), shapes.mean(1)[None]).argmin(2)
    assert (nearest == torch.arange(10)).float().mean() > 0.9


def test_printed_digits_are_drawn_as_large_and_bright_as_handwritten_ones(prints):
    def looks(images: Images) -> torch.Tensor:
        """The mean of ink, of the brightest point, of height and of width, as shares of the image."""
        ink = resize(images, 16, 16).pixels[:, 0] / 255
        high, wide = ((ink > 0.2).any(axis).float().mean() for axis in (2, 1))
        return torch.stack([ink.mean(), ink.amax((1, 2)).mean(), high, wide])

    assert (looks(prints) / looks(find_source(DIGITS).train()) - 1).abs().max() < 0.1


def test_printed_digits_lie_in_the_middle(prints):
    mean = prints.pixels[:, 0].double().mean(0)
    weight, place = mean / mean.sum(), torch.arange(32) + 0.5
    centre = [(weight.sum(axis) * place).sum().item() for axis in (1, 0)]
    assert centre == pytest.approx([16, 16], abs=1)


@pytest.mark.parametrize(("name", "count", "tested", "side"), [("mnist", 60000, 10000, 28), ("usps", 7291, 2007, 16)])
def test_shared_sets(name, count, tested, side):
    if not (SHARED / name.upper()).is_dir():
        pytest.skip(f"no {name.upper()} in {SHARED}")
    source = find_source(DataConfig(name=name, root=SHARED, split="official"))
    train, test = source.train(), source.test()
    assert (len(train), len(test), train.shape) == (count, tested, (1, side, side))
    assert train.pixels.dtype == torch.uint8 and train.labels.unique().tolist() == list(range(10))


def idx(path: Path, array: np.ndarray) -> None:
    """The format of the MNIST family: magic, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_mnist_family(name, folder, tmp_path):
    for part, count in (("train", 30), ("t10k", 20)):
        pixels = np.arange(count)[:, None, None] + np.zeros((28, 28))
        idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", pixels)
        idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    source = find_source(DataConfig(name=name, root=tmp_path))
    train, test = source.train(), source.test()
    assert len(set(source.classes)) == 10
    assert train.pixels[:, 0, 0, 0].tolist() == list(range(30)) and len(test) == 20
    assert test.labels.tolist() == [*range(10), *range(10)]


def test_cifar10(tmp_path, monkeypatch):
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    rows = np.repeat(np.arange(3072) // 1024, 10).reshape(3072, 10).T.astype(np.uint8)  # red 0, green 1, blue 2
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (root / name).write_bytes(pickle.dumps({"data": rows, "labels": list(range(10))}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    source = find_source(DataConfig(name="cifar10", root=tmp_path))
    train, test = source.train(), source.test()
    assert (len(train), len(test), train.shape) == (50, 10, (3, 32, 32))
    assert train.pixels.float().mean((0, 2, 3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("beneath", ["", "train"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_folder_of_classes(tmp_path, mode, channels, beneath):
    classes(tmp_path / beneath, mode=mode)
    source = find_source(folder(tmp_path))
    images = source.train()
    assert (source.classes, source.test, images.shape) == (("cat", "dog"), None, (channels, 7, 9))
    assert images.labels.tolist() == [0] * 4 + [1] * 4
    stored = np.asarray(Image.open(tmp_path / beneath / "dog" / "1.png")).reshape(7, 9, channels)
    assert (images.pixels[5].permute(1, 2, 0).numpy() == stored).all()


def test_folder_with_official_test(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "test", count=2)
    source = find_source(folder(tmp_path, split="official"))
    assert (len(source.train()), len(source.test())) == (8, 4)


def test_flat_folder_has_no_labels(tmp_path):
    for index in range(6):
        picture(tmp_path / f"{index}.png")
    source = find_source(folder(tmp_path))
    assert source.classes == () and source.train().labels is None


@pytest.mark.parametrize("tested", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_two_domains_in_one_folder(tmp_path, labelled, tested):
    for domain, mode, value in (("A", "L", 10), ("B", "RGB", 20)):
        for part, count in (("train", 6), ("test", 2 * tested)):
            for index, label in itertools.product(range(count), ("cat", "dog") if labelled else ("",)):
                picture(tmp_path / f"{part}{domain}" / label / f"{index}.png", mode, value=value)
    for domain, channels, value in (("a", 1, 10), ("b", 3, 20)):
        source = find_source(folder(tmp_path, name=f"folder_{domain}", split="official" if tested else "pooled"))
        assert (source.classes, source.channels) == (("cat", "dog") if labelled else (), channels)
        assert (len(source.train()), source.test and len(source.test())) == (
            6 * (1 + labelled),
            2 * (1 + labelled) if tested else None,
        )
        assert source.train().pixels.unique().tolist() == [value]


def test_odd_sizes_are_resized(tmp_path):
    for index, suffix in enumerate((".png", ".jpg", ".JPEG", ".bmp", ".webp")):
        picture(tmp_path / f"{index}{suffix}", "RGB", size=(5 + 30 * index, 41 - index), value=200)
    pixels = find_source(folder(tmp_path, image_size=16)).train().pixels
    assert pixels.shape == (5, 3, 16, 16)
    assert (pixels.int() - 200).abs().max() <= 2  # what JPEG and WebP lose


def test_shrinking_averages(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    for index in range(3):
        Image.fromarray(checks.astype(np.uint8)).save(tmp_path / f"{index}.png")
    pixels = find_source(folder(tmp_path, image_size=8)).train().pixels
    assert (pixels[:, :, 2:6, 2:6].float() - 127.5).abs().max() < 2


def test_order_is_natural_and_ignores_case(tmp_path):
    names = ["IMG1", "img2", "Img10", "img10b", "other3", "Other20"]
    backwards = names[::-1]
    assert sorted(backwards, key=natural_sort_key) == names
    for value, name in reversed(list(enumerate(names))):
        picture(tmp_path / f"{name}.png", value=value)
    assert find_source(folder(tmp_path)).train().pixels[:, 0, 0, 0].tolist() == list(range(6))


def test_hidden_and_other_files_are_passed_over(tmp_path):
    classes(tmp_path)
    for name in (".DS_Store", "cat/.hidden.png", "notes.txt", "cat/Thumbs.db", "__MACOSX/cat/1.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not an image")
    assert len(find_source(folder(tmp_path)).train()) == 8


def test_modes_become_grey_or_rgb(tmp_path):
    grey, colour = tmp_path / "grey", tmp_path / "colour"
    for root in (grey, colour):
        root.mkdir()
    Image.new("1", (4, 4), 1).save(grey / "0.png")
    Image.new("L", (4, 4), 10).save(grey / "1.png")
    Image.new("LA", (4, 4), (10, 0)).save(grey / "2.png")
    Image.new("LA", (4, 4), (10, 255)).save(grey / "3.png")
    Image.new("RGB", (4, 4), (1, 2, 3)).save(colour / "0.png")
    Image.new("RGB", (4, 4), (1, 2, 3)).quantize().save(colour / "1.png")
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(colour / "2.png")
    Image.new("RGBA", (4, 4), (1, 2, 3, 255)).save(colour / "3.png")
    assert find_source(folder(grey)).train().pixels[:, :, 0, 0].tolist() == [[255], [10], [255], [10]]
    assert find_source(folder(colour)).train().pixels[:, :, 0, 0].tolist() == [[1, 2, 3]] * 2 + [[255] * 3, [1, 2, 3]]


def test_a_new_set_is_one_function(tmp_path, monkeypatch):
    def stripes(settings: DataConfig) -> Source:
        pixels = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1).expand(30, 1, 4, 4)
        return Source("made", ("even", "odd"), lambda: Images(pixels, torch.arange(30) % 2))

    stripes.__module__ = sources.__name__
    monkeypatch.setattr(sources, "stripes", stripes, raising=False)
    info = prepare(DataConfig(name="stripes"), tmp_path)
    assert (info["classes"], info["counts"]) == (["even", "odd"], {"train": 18, "valid": 6, "test": 6})


# what is refused


def truncated(root: Path, suffix: str) -> DataConfig:
    path = picture(classes(root) / "cat" / f"9{suffix}", size=(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder(root, image_size=8)


def mixed(root: Path) -> DataConfig:
    picture(classes(root) / "dog" / "x.png", mode="RGB")
    return folder(root)


def sixteen_bit(root: Path) -> DataConfig:
    Image.fromarray(np.zeros((7, 9), dtype=np.uint16)).save(classes(root) / "dog" / "x.png")
    return folder(root)


def inks(root: Path) -> DataConfig:
    Image.new("CMYK", (9, 7)).save(classes(root) / "dog" / "x.jpg")
    return folder(root)


def two_sizes(root: Path) -> DataConfig:
    picture(classes(root) / "dog" / "x.png", size=(8, 8))
    return folder(root)


def one_image(root: Path) -> DataConfig:
    return folder(picture(root / "1.png").parent)


def small_class(root: Path) -> DataConfig:
    picture(classes(root) / "eel" / "1.png")
    return folder(root)


def empty_class(root: Path) -> DataConfig:
    (classes(root) / "eel").mkdir()
    return folder(root)


def beside(root: Path) -> DataConfig:
    return folder(picture(classes(root) / "1.png").parent)


def other_classes(root: Path) -> DataConfig:
    classes(root / "train")
    picture(root / "test" / "eel" / "1.png")
    return folder(root, split="official")


def foreign(root: Path) -> DataConfig:
    (root / "notes.txt").write_text("text")
    return folder(root)


REFUSED = {
    "unknown name": (lambda root: DataConfig(name="minst"), ["data.name", "'minst'", "did you mean mnist", "folder"]),
    "private name": (lambda root: DataConfig(name="_images"), ["data.name", "digits, fashion_mnist, folder"]),
    "module name": (lambda root: DataConfig(name="require_enough"), ["data.name", "expected cifar10"]),
    "unknown split": (lambda root: replace(DIGITS, split="none"), ["data.split", "official, pooled"]),
    "no official test": (lambda root: replace(DIGITS, split="official"), ["data.split", "digits", "pooled"]),
    "size of nothing": (lambda root: replace(DIGITS, image_size=0), ["data.image_size", "found 0", "1 to 1024"]),
    "share of one": (lambda root: replace(DIGITS, valid=1.0), ["data.valid", "found 1.0", "between 0 and 1"]),
    "shares of all": (lambda root: replace(DIGITS, valid=0.5, test=0.5), ["data.valid + data.test", "less than 1"]),
    "share of official": (
        lambda root: DataConfig(name="mnist", root=root, split="official", test=0.1),
        ["data.test", "0.1", "null"],
    ),
    "missing root": (
        lambda root: DataConfig(name="mnist", root=root / "no"),
        ["data.root", "no such folder", "data.download: true"],
    ),
    "missing files": (
        lambda root: DataConfig(name="cifar10", root=classes(root)),
        ["data.root", "cifar-10-batches-py/data_batch_1", "cat, dog", "data.download: true"],
    ),
    "missing usps": (lambda root: DataConfig(name="usps", root=root), ["data.root", "usps.bz2", "nothing"]),
    "missing folder": (lambda root: folder(root / "no"), ["data.root", "no folder"]),
    "empty folder": (lambda root: folder(root), ["data.root", "no images", ".png"]),
    "no images": (foreign, ["data.root", "no images", ".png"]),
    "one image": (one_image, ["data.root", "1 image", "at least 3"]),
    "small class": (small_class, ["data.root", "1 image of class 'eel'", "at least 3"]),
    "empty class": (empty_class, ["data.root", "no images", "eel"]),
    "images beside classes": (beside, ["data.root", "1.png", "cat", "one folder per class"]),
    "other test classes": (other_classes, ["data.root", "['eel']", "['cat', 'dog']"]),
    "truncated png": (lambda root: truncated(root, ".png"), ["cat/9.png", "cannot be read"]),
    "truncated jpeg": (lambda root: truncated(root, ".jpg"), ["cat/9.jpg", "cannot be read"]),
    "truncated bmp": (lambda root: truncated(root, ".bmp"), ["cat/9.bmp", "cannot be read"]),
    "truncated webp": (lambda root: truncated(root, ".webp"), ["cat/9.webp", "cannot be read"]),
    "mixed channels": (mixed, ["8 grey", "cat/0.png", "1 RGB", "dog/x.png", "all grey or all RGB"]),
    "16 bits": (sixteen_bit, ["dog/x.png", "I;16", "8 bits"]),
    "cmyk": (inks, ["dog/x.jpg", "CMYK", "RGB"]),
    "two sizes": (two_sizes, ["data.image_size", "9x7", "8x8", "dog/x.png"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path):
    settings, words = REFUSED[case]
    with pytest.raises(InputError) as caught:
        find_source(settings(tmp_path))
    message = str(caught.value)
    assert "\n" not in message and ": got " in message and "expected " in message
    assert [word for word in words if word not in message] == []


def pair(root: Path, **domains: str) -> DataConfig:
    """Two domains, each a data set by name, with everything at `root`."""
    return DataConfig(name=domains["a"], root=root, domain_b=DomainBConfig(domains["b"]))


def half(root: Path, **looks: str) -> DataConfig:
    for domain, mode in looks.items():
        for index in range(4):
            picture(root / f"train{domain.upper()}" / f"{index}.png", mode)
    return pair(root, a="folder_a", b="folder_b")


def bad_test_of_b(root: Path) -> DataConfig:
    settings = half(root, a="L", b="L")
    picture(root / "testB" / "eel" / "1.png")
    return settings


OTHER_REFUSED = {
    "unknown name": (
        lambda root: pair(root, a="digits", b="printed"),
        ["data.domain_b.name", "'printed'", "printed_digits"],
    ),
    "missing root": (
        lambda root: replace(DIGITS, domain_b=DomainBConfig("folder", root / "no")),
        ["data.domain_b.root", "no folder", "/no"],
    ),
    "missing set": (
        lambda root: pair(root, a="digits", b="usps"),
        ["data.domain_b.root", "usps.bz2", "data.download: true"],
    ),
    "one image": (
        lambda root: replace(DIGITS, domain_b=DomainBConfig("folder", picture(root / "1.png").parent)),
        ["data.domain_b.root", "1 image", "at least 3"],
    ),
    "no folder A": (lambda root: half(root, b="L"), ["data.root", "trainA", "trainB [testA testB]"]),
    "no folder B": (lambda root: half(root, a="L"), ["data.domain_b.root", "trainB"]),
    "no folder at all": (lambda root: half(root / "no"), ["data.root", "no folder"]),
    "other classes in testB": (bad_test_of_b, ["data.domain_b.root", "['eel']", "testB"]),
    "grey and RGB": (
        lambda root: half(root, a="L", b="RGB"),
        ["data.domain_b", "folder_b with 3 channels", "expected 1 as folder_a has"],
    ),
    "RGB and grey": (
        lambda root: replace(half(root, a="RGB", b="L"), domain_b=DomainBConfig("printed_digits")),
        ["data.domain_b", "printed_digits with 1 channel,", "expected 3 as folder_a has"],
    ),
}


@pytest.mark.parametrize("case", OTHER_REFUSED)
def test_a_second_domain_is_refused_in_one_line(case, tmp_path):
    settings, words = OTHER_REFUSED[case]
    with pytest.raises(InputError) as caught:
        find_domains(settings(tmp_path))
    message = str(caught.value)
    assert "\n" not in message and ": got " in message and "expected " in message
    assert message.startswith(f"{words[0]}: ")
    assert [word for word in words if word not in message] == []


def test_a_second_domain_shares_what_it_does_not_say(tmp_path):
    first = DataConfig(name="digits", root=tmp_path, seed=5, image_size=12, domain_b=DomainBConfig("printed_digits"))
    [_, (source, second)] = find_domains(first)
    assert (
        second == replace(first, name="printed_digits", domain_b=None) and source.description == "fonts of matplotlib"
    )
    own = replace(first, domain_b=DomainBConfig("printed_digits", tmp_path / "x", 0)).for_domain_b()
    assert own == replace(second, root=tmp_path / "x", seed=0)
    assert len(find_domains(DIGITS)) == 1


def test_an_official_split_is_pooled_for_a_second_domain_without_a_test_set(tmp_path):
    half(tmp_path, a="L", b="L")
    picture(tmp_path / "testA" / "1.png")
    both = replace(pair(tmp_path, a="folder_a", b="folder_b"), split="official")
    assert [settings.split for _, settings in find_domains(both)] == ["official", "pooled"]
    picture(tmp_path / "testB" / "1.png")
    assert [settings.split for _, settings in find_domains(both)] == ["official", "official"]


def test_nothing_is_touched_when_refused(tmp_path):
    out = tmp_path / "prepared"
    before = prepare(DIGITS, out)
    with pytest.raises(InputError):
        prepare(mixed(tmp_path / "folder"), out)
    assert before["sha256"] in (out / "dataset.json").read_text()


def test_garbage_in_a_torchvision_file(tmp_path):
    for part, kind in itertools.product(("train", "t10k"), ("images-idx3", "labels-idx1")):
        idx(tmp_path / "MNIST" / "raw" / f"{part}-{kind}-ubyte", np.zeros(0))
    source = find_source(DataConfig(name="mnist", root=tmp_path))
    with pytest.raises(InputError, match=r"data\.root: found MNIST .* unreadable"):
        source.train()


def test_truncation_beyond_the_glance_is_found_on_reading(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "0.png")
    content = (tmp_path / "0.png").read_bytes()
    for index in range(1, PROBE_FILES + 1):
        (tmp_path / f"{index}.png").write_bytes(content if index != 1 else content[:40])
    source = find_source(folder(tmp_path))
    with pytest.raises(InputError, match=r"/1\.png: found an image that cannot be read"):
        source.train()


def test_checking_imports_nothing_heavy(tmp_path):
    for index in range(3):
        picture(tmp_path / f"{index}.png")
    heavy = "{'torch', 'torchvision', 'sklearn'} & set(sys.modules)"
    code = (
        "import sys; from pathlib import Path; from genlib.data.config import DataSettings, find_source; "
        f"find_source(DataSettings()); find_source(DataSettings('folder', Path({str(tmp_path)!r}))); print({heavy})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.stdout, done.stderr) == ("set()\n", "")
