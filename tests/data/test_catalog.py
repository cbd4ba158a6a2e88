"""Finding a data set: what is refused, in one line, before anything is read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_files import DIGITS, classes, folder, picture
from PIL import Image

from genlib.data.catalog import find_domains, find_source
from genlib.data.config import DataConfig, DomainBConfig
from genlib.data.dataset import prepare
from genlib.errors import InputError


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
    "private name": (lambda root: DataConfig(name="_to_images"), ["data.name", "digits, fashion_mnist, folder"]),
    "module name": (lambda root: DataConfig(name="read_common_channels"), ["data.name", "expected cifar10"]),
    "unknown split": (lambda root: replace(DIGITS, split="none"), ["data.split", "official, pooled"]),
    "no official test": (lambda root: replace(DIGITS, split="official"), ["data.split", "digits", "pooled"]),
    "size of nothing": (lambda root: replace(DIGITS, image_size=0), ["data.image_size", "got 0", "1 to 1024"]),
    "share of one": (lambda root: replace(DIGITS, valid=1.0), ["data.valid", "got 1.0", "between 0 and 1"]),
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
        second == replace(first, name="printed_digits", domain_b=None, key="data.domain_b")
        and source.description == "fonts of matplotlib"
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


def test_checking_imports_nothing_heavy(tmp_path):
    for index in range(3):
        picture(tmp_path / f"{index}.png")
    heavy = "{'torch', 'torchvision', 'sklearn'} & set(sys.modules)"
    code = (
        "import sys; from pathlib import Path; from genlib.data.catalog import find_source; "
        "from genlib.data.config import DataConfig; "
        f"find_source(DataConfig()); find_source(DataConfig('folder', Path({str(tmp_path)!r}))); print({heavy})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.stdout, done.stderr) == ("set()\n", "")
