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
from genlib.data.image_folder import format_left_out
from genlib.data.sources import folder_name
from genlib.errors import InputError


def truncated(root: Path, suffix: str) -> DataConfig:
    path = picture(classes(root) / "cat" / f"9{suffix}", size=(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return folder(root, image_size=8)


def sixteen_bit(root: Path) -> DataConfig:
    Image.fromarray(np.zeros((7, 9), dtype=np.uint16)).save(classes(root) / "dog" / "x.png")
    return folder(root)


def floats(root: Path) -> DataConfig:
    Image.fromarray(np.zeros((7, 9), dtype=np.float32)).save(classes(root) / "dog" / "x.tiff")
    return folder(root)


def broken(root: Path) -> DataConfig:
    classes(root)
    for name in ("cat/0.png", "dog/3.png"):
        (root / name).write_bytes(b"no image")
    return folder(root)


def videos(root: Path) -> DataConfig:
    (classes(root) / "eel").mkdir()
    for index in range(3):
        (root / "eel" / f"{index}.mp4").write_bytes(b"a video")
    return folder(root)


def dangling(root: Path) -> DataConfig:
    (root / "link").symlink_to(root / "nowhere")
    return folder(root / "link")


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
    "module name": (lambda root: DataConfig(name="read_images"), ["data.name", "expected cifar10"]),
    "unknown split": (lambda root: replace(DIGITS, split="none"), ["data.split", "official, pooled"]),
    "no official test": (lambda root: replace(DIGITS, split="official"), ["data.split", "digits", "pooled"]),
    "size of nothing": (lambda root: replace(DIGITS, image_size=0), ["data.image_size", "got 0", "auto, 1 to 1024"]),
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
    "16 bits": (sixteen_bit, ["dog/x.png", "I;16", "8 bits"]),
    "a float image": (floats, ["dog/x.tiff", "mode F", "8 bits"]),
    "several broken files": (broken, ["cat/0.png", "cannot be read", "(and 1 more)"]),
    "videos": (videos, ["data.root", "no images in", "eel (3 .mp4)", "files ending in .png"]),
    "a file as root": (lambda root: folder(picture(root / "1.png")), ["data.root", "got the file", "1.png"]),
    "a link to nothing as root": (dangling, ["data.root", "a link to nothing", "/link"]),
    "unknown resize": (lambda root: replace(DIGITS, resize="fill"), ["data.resize", "'fill'", "crop, pad, squash"]),
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


def half(root: Path, count: int = 4, **looks: str) -> DataConfig:
    for domain, mode in looks.items():
        for index in range(count):
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
    half(tmp_path, a="L", b="L", count=10)
    picture(tmp_path / "testA" / "1.png")
    both = replace(pair(tmp_path, a="folder_a", b="folder_b"), split="official")
    assert [settings.split for _, settings in find_domains(both)] == ["official", "pooled"]
    picture(tmp_path / "testB" / "1.png")
    assert [settings.split for _, settings in find_domains(both)] == ["official", "official"]


def test_nothing_is_touched_when_refused(tmp_path):
    out = tmp_path / "prepared"
    before = prepare(DIGITS, out)
    with pytest.raises(InputError):
        prepare(sixteen_bit(tmp_path / "folder"), out)
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


def test_a_set_of_three_images_is_refused(tmp_path):
    for index in range(3):
        picture(tmp_path / f"{index}.png")
    with pytest.raises(InputError, match=r"^data\.root: got 3 images in all in .*, expected at least 10: two each for"):
        find_domains(folder(tmp_path))


@pytest.mark.parametrize(
    ("sizes", "size"),
    [([227, 227, 128], 64), ([64], 64), ([63, 64, 65], 64), ([33, 20, 63], 32), ([15], 8), ([3], 8), ([300, 9, 9], 8)],
)
def test_an_automatic_size_is_the_power_of_two_that_the_median_image_reaches(tmp_path, sizes, size):
    for index in range(12):
        picture(tmp_path / f"{index}.png", size=(sizes[index % len(sizes)] + 7, sizes[index % len(sizes)]))
    [(source, config)] = find_domains(folder(tmp_path, image_size="auto"))
    assert config.image_size == size and source.train().shape == (1, size, size)
    assert source.notes == (
        f"image_size: auto is {size}, since the median image has {source.size[1]}x{source.size[0]} pixels",
    )


def test_an_automatic_size_is_that_of_the_first_domain_and_known_of_every_named_set():
    domains = find_domains(DataConfig(image_size="auto", domain_b=DomainBConfig("printed_digits")))
    assert [config.image_size for _, config in domains] == [8, 8]
    with pytest.raises(
        InputError, match=r"^data\.image_size: got auto, but x tells no size of its images, expected a number"
    ):
        DataConfig("x", image_size="auto").with_image_size_for(None)


def test_a_folder_is_called_by_its_own_name(tmp_path):
    names = {
        "flowers": "flowers",
        "my flowers/train": "my flowers",
        "blume\u00f6": "blume\u00f6",
        "h2z/trainA/images": "h2z",
    }
    for name, shown in names.items():
        assert folder_name(tmp_path / name, "folder") == shown
    assert folder_name(Path("/"), "folder") == "folder" and folder_name(Path("/data"), "folder") == "data"
    for index in range(12):
        for part in ("trainA", "trainB"):
            picture(tmp_path / "h2z" / part / f"{index}.png")
    first, second = (source for source, _ in find_domains(pair(tmp_path / "h2z", a="folder_a", b="folder_b")))
    assert (first.display_name, second.display_name) == ("h2z", "h2z B")


def test_files_that_are_left_out_are_counted(tmp_path):
    classes(tmp_path, count=5)
    for name in (
        "notes.txt",
        "cat/a.mp4",
        "cat/b.MP4",
        "dog/c.mp4",
        "dog/README",
        "dog/d.gif",
        ".hidden",
        "cat/.x.mp4",
    ):
        (tmp_path / name).write_bytes(b"")
    assert find_source(folder(tmp_path)).notes == ("left out 3 .mp4, 1 .gif, 1 .txt, 1 without an ending",)
    assert format_left_out({f".{n}": n for n in range(1, 9)}) == "8 .8, 7 .7, 6 .6, 5 .5, 4 .4, 6 others"
