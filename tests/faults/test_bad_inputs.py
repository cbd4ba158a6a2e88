"""What users have on their disks: names, links, metadata, classes and ranges that another program left there.

Each is read as what it is, or named in one line; nothing is dropped, doubled or guessed without a word.
"""

import contextlib
import io
import json
import os
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.mutations import require_refusal
from image_files import folder, picture
from PIL import Image
from refusals import refusal

from genlib.cli import main
from genlib.data.arrays import MAX_UNPACKED
from genlib.data.catalog import find_source
from genlib.data.dataset import prepare
from genlib.data.image_sets import RANGE_TOLERANCE, image_set_from_array, read_image_set
from genlib.errors import InputError, run_cli
from genlib.evaluation.image_sets import prepare_evaluation

pytestmark = pytest.mark.usefixtures("few_draws")
UNIT = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
UNIT[0, 0, 0, :2] = 0, 255


def write(root: Path, names: list[str], mode: str = "L") -> Path:
    """Images of other pixels each, by the names of their files below `root`."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(path.with_name("tmp.png"), mode).rename(path)
    return root


def shares(*sets: str) -> list[str]:
    return [f"{name}/{number}.png" for name in sets for number in range(4)]


def evaluate(real: Path, fake: Path, *more: object) -> int:
    return main(["evaluate", "--real", str(real), "--fake", str(fake), "--metrics", "kid", *map(str, more)])


# names


def test_names_of_two_underscores_are_names(tmp_path):
    """The filter for what an archiver adds took all names that begin alike: site's own file names, `__background__`."""
    others = ["cat/__artist__1.png", "__MACOSX/cat/1.png", "cat/._1.png"]
    write(tmp_path, [*shares("cat", "__background__"), *others])
    assert find_source(folder(tmp_path)).classes == ("__background__", "cat")
    found = read_image_set(tmp_path, "--fake", strict=True)
    assert (len(found), found.classes) == (9, ("__background__", "cat"))


@pytest.fixture
def latin(tmp_path):
    """Two classes, one with the name of an old zip, which holds a broken file of such a name."""
    write(tmp_path / "latin", [*shares("gar\udce7on", "fille"), "fille/5.png", "fille/6.png"])
    return tmp_path / "latin"


def test_names_that_are_no_utf8_are_shown_escaped(latin, tmp_path):
    """Names are bytes, and what people read is text: of old archives, of disks of other systems."""
    assert prepare(folder(latin), tmp_path / "out")["classes"] == ["fille", "gar\\xe7on"]
    assert json.loads((tmp_path / "out/dataset.json").read_text("utf-8"))["classes"] == ["fille", "gar\\xe7on"]
    for name in ("bro\udceb\n\x1b[31m.png", "bro\udceb.tif"):
        (latin / "fille" / name).write_bytes(b"no image")
    (tmp_path / "\udcff").mkdir()
    written, printed = [tmp_path / f"\udcff/a.{kind}" for kind in ("json", "html")], io.BytesIO()
    screen = io.TextIOWrapper(printed, "utf-8", write_through=True)
    with contextlib.redirect_stdout(screen):
        assert evaluate(latin, latin, "--json", written[0], "--html", written[1]) == 0
    said = printed.getvalue().decode()
    assert "bro\\xeb \\x1b[31m.png: got an image that cannot be read" in said and "bro\\xeb.tif" in said
    sources = json.loads(written[0].read_text("utf-8"))["card"]["sources"]
    assert sources["fake"]["classes"] == ["fille", "gar\\xe7on"] and "latin" in written[1].read_text("utf-8")


# endings and metadata


def test_endings_of_images_are_read_or_named(tmp_path, capsys):
    """An ending that is not known is no reason to be silent: .jfif and .jpe are JPEG, .tif and .gif are images."""
    kinds = {
        ".jfif": "JPEG",
        ".jpe": "JPEG",
        ".JPG": "JPEG",
        ".PNG": "PNG",
        ".tif": "TIFF",
        ".TIFF": "TIFF",
        ".gif": "GIF",
    }
    for ending, kind in kinds.items():
        Image.fromarray(UNIT[0, 0]).save(tmp_path / f"a{ending}", kind)
    (tmp_path / "notes.txt").write_text("not an image")
    found = read_image_set(tmp_path, "--fake")
    assert len(found) == 6 and [re.findall(r"a\.\w+", line)[0] for line in found.skipped] == ["a.gif"]
    code = evaluate(tmp_path, tmp_path, "--strict")
    require_refusal(code, capsys.readouterr().err, r"a\.gif: got an image that cannot be read")
    source = find_source(folder(tmp_path))
    assert len(source.train()) == 6 and source.notes == ("left out 1 .gif, 1 .txt",)


def exif(*entries: tuple[int, int, int, int], value: bytes = b"") -> bytes:
    """EXIF of these tags, types, counts and values; `value` lies behind them."""
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(struct.pack("<HHII", *each) for each in entries) + bytes(4) + value


TURNED, RATIONAL = (0x112, 3, 1, 6), (0x9204, 10, 1, 8 + 2 + 2 * 12 + 4)
METADATA = {
    "turned": (exif(TURNED), True),
    "turned, and a rational of -1/0": (exif(TURNED, RATIONAL, value=struct.pack("<ii", -1, 0)), True),
    "garbage": (b"Exif\0\0garbage", False),
    "none": (b"Exif\0\0", False),
}


@pytest.mark.parametrize("case", METADATA)
@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")
def test_bad_metadata_cost_no_image(case, tmp_path):
    """What is written beside the pixels of a JPEG is other people's: cameras and editors write it wrong."""
    content, turned = METADATA[case]
    for number in range(3):
        stream = io.BytesIO()
        Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7) + number).save(stream, "JPEG")
        data = stream.getvalue()
        part = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
        (tmp_path / f"{number}.jpg").write_bytes(data[:2] + part + data[2:])
    assert find_source(folder(tmp_path)).train().shape == ((1, 7, 5) if turned else (1, 5, 7))
    assert len(read_image_set(tmp_path, "--fake", strict=True)) == 3


def test_sizes_are_those_after_the_turn(tmp_path):
    """Without a size all images must have one, as they are shown and not as they are stored: photographs of a phone."""
    for number in range(4):
        kept = Image.Exif()
        kept[0x112] = 6 if number == 3 else 1
        Image.fromarray(np.full((5, 7), 50 * number, np.uint8)).save(tmp_path / f"{number}.jpg", exif=kept)
    with pytest.raises(InputError, match=r"^data.image_size: got null, but .*0\.jpg is 7x5 and .*3\.jpg is 5x7"):
        find_source(folder(tmp_path))
    assert find_source(folder(tmp_path, image_size=4)).train().shape == (1, 4, 4)


# links and what is no file


def damage_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / path.name)


NO_FILES = {
    "a link to nothing": damage_link,
    "a link to itself": lambda path: path.symlink_to(path),
    "a FIFO": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder of that name": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("case", NO_FILES)
@pytest.mark.parametrize("name", ["a/x.png", "x"])
def test_what_is_no_file_is_named_and_never_opened(case, name, tmp_path, capsys):
    """Opening a FIFO or a device may never return, and a link to nothing may have been an image or a whole class."""
    write(tmp_path / "real", shares("a", "b"))
    write(tmp_path / "fake", shares("."))
    for root in ("real", "fake"):
        (tmp_path / root / "a").mkdir(exist_ok=True)
        NO_FILES[case](tmp_path / root / name)
    is_image, is_link = name.endswith("png"), "nothing" in case or "itself" in case
    code = run_cli(lambda: find_source(folder(tmp_path / "real")) and None)
    if (case == "a folder of that name") is not is_image or is_link:
        require_refusal(code, capsys.readouterr().err, f"real/{name}")
    else:
        assert code == 0
    found = read_image_set(tmp_path / "fake", "--fake")
    is_named = any(f"fake/{name}" in line for line in found.skipped)
    assert len(found) == 4 and is_named == (is_link or (is_image and "folder" not in case))


def test_parquet_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "0.parquet")
    with pytest.raises(InputError, match=r"0\.parquet: got a folder, a FIFO or a device"):
        find_source(folder(tmp_path, name="parquet"))


def test_a_folder_is_read_once_whatever_links_to_it(tmp_path):
    """Links between folders multiplied images: 4 files were judged as 164, and three folders without end."""
    root, outside = tmp_path / "root", write(tmp_path / "outside", shares("."))
    write(root, shares("a", "b", "c"))
    for name in "abc":
        for other in "abc":
            (root / name / f"to_{other}").symlink_to(root / other)
        (root / name / "up").symlink_to(tmp_path)
        (root / name / "out").symlink_to(outside)
    (outside / "back").symlink_to(root / "b")
    found = read_image_set(root, "--fake")
    by_class = [found.labels.count(label) for label in range(3)]
    assert (len(found), found.classes, by_class) == (16, tuple("abc"), [8, 4, 4])
    assert len(found.skipped) == 9 + 3 + 2 + 1
    with pytest.raises(InputError, match=r"root/a/.*: got a link to a folder that is read elsewhere"):
        read_image_set(root, "--fake", strict=True)


CLASS_LINKS = {"dog": ("root/cat", "root/cat and dog, which are one"), "cat/sub": ("other", "images in .*cat/sub")}


@pytest.mark.parametrize("name", CLASS_LINKS)
def test_a_folder_of_classes_holds_no_folder_twice_and_none_below(name, tmp_path):
    """The images of a class that is a link to another would have two labels; those further below would have none."""
    target, line = CLASS_LINKS[name]
    write(tmp_path, [*shares("root/cat"), f"{target}/x.png"])
    (tmp_path / "root" / name).symlink_to(tmp_path / target)
    with pytest.raises(InputError, match=line):
        find_source(folder(tmp_path / "root"))


@pytest.mark.parametrize("name", ["real/a", "real"])
def test_a_folder_without_permission_is_named(name, tmp_path, monkeypatch, capsys):
    """`lost+found` of a disk, a share that denies root."""
    write(tmp_path / "real", shares("a", "b"))
    scandir = os.scandir

    def deny(path="."):
        if path == tmp_path / name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    code = run_cli(lambda: find_source(folder(tmp_path / "real")) and None)
    require_refusal(code, capsys.readouterr().err, rf"data\.root: got .*Permission denied.*{name}")
    line = r"real(/a)?: got a folder that cannot be read \(Permission denied\)"
    if name == "real/a":
        assert re.search(line, read_image_set(tmp_path / "real", "--real").skipped[0])
    require_refusal(evaluate(tmp_path / "real", tmp_path / "real", "--strict"), capsys.readouterr().err, line)


# classes


def test_classes_of_one_image_count_as_none(tmp_path):
    """Each image in a folder of its own, as of patients or identities: as many are compared as without the folders."""
    flat = read_image_set(write(tmp_path / "flat", [f"{number}.png" for number in range(40)]), "--real")
    said: list[str] = []
    for classes, n in ((range(40), 20), ([*range(30), *[30] * 10], 20), ([0] * 39 + [1], 20)):
        labels = list(classes)
        named = type(flat)("real", flat.pixels, labels, tuple(map(str, range(max(labels) + 1))))
        inputs = prepare_evaluation({"real": named, "fake": flat}, log=said.append).inputs
        assert abs(inputs.n - n) <= 1
        rare = sum(labels.count(label) == 1 for label in set(labels))
        assert f"--real: {rare} of {max(labels) + 1} classes have one image" in " ".join(said)
        if rare == 40:
            expected = prepare_evaluation({"real": flat, "fake": flat}).inputs
            assert torch.equal(inputs.test.pixels, expected.test.pixels) and inputs.test.labels is None
        else:
            assert set(inputs.test.labels.tolist()) <= {labels[-1], min(labels)}


# arrays


@pytest.mark.parametrize(
    ("change", "reading"),
    [
        (lambda x: x, "uint8 from 0 to 255, read as 0 to 255"),
        (lambda x: x / 255, "float64 from 0 to 1, read as [0, 1]"),
        (lambda x: x / 255 - 1e-7, "read as [0, 1]"),
        (lambda x: x / 255 + RANGE_TOLERANCE / 2, "read as [0, 1]"),
        (lambda x: x / 127.5 - 1, "from -1 to 1, read as [-1, 1]"),
        (lambda x: x / 127.5 - 1 - RANGE_TOLERANCE / 2, "read as [-1, 1]"),
        (lambda x: (x / 255).astype(">f4"), "read as [0, 1]"),
        (lambda x: torch.from_numpy(x / 255), "read as [0, 1]"),
    ],
)
def test_a_hair_beyond_a_range_changes_nothing_and_the_range_is_said(change, reading):
    """Rounding leaves values a hair beyond the ends: one of -1e-7 made [0, 1] into [-1, 1], and every pixel grey."""
    given = change(UNIT.copy())
    before = given.clone() if isinstance(given, torch.Tensor) else given.copy()
    found = image_set_from_array(given, "--fake", np.arange(6, dtype=">u2"))
    assert torch.equal(torch.stack(list(found.pixels)), torch.from_numpy(UNIT)) and reading in found.values
    assert bool((before == given).all()) and found.labels == [*range(6)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (UNIT / 255 - 0.0033, "got floats from -0.0033 to"),
        (UNIT / 255 + 0.0033, "got floats from 0.0033 to"),
        (UNIT / 255 * 1.2 - 0.2, "got floats from -0.2 to"),
        (UNIT / 100 - 1, "expected in [0, 1] or [-1, 1] within 0.001"),
        (UNIT.astype(np.float32), "to 255"),
        (UNIT.astype(np.int64), "got int64, expected uint8 or floats"),
        (torch.from_numpy(UNIT).to(torch.float8_e4m3fn), "expected uint8 or floats"),
        (np.zeros((32, 30, 3), np.uint8), "got shape [32, 30, 3]"),
        (np.zeros((32, 30, 4), np.uint8), "got shape [32, 30, 4]"),
    ],
)
def test_a_range_or_shape_that_could_be_two_is_not_guessed_at(values, words):
    """Bicubic resizing leaves -0.0033 in [0, 1]; one picture of [H, W, 3] is not H grey ones."""
    with pytest.raises(InputError, match=re.escape(words)):
        image_set_from_array(values, "--fake")


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, capsys):
    """A few megabytes of an .npz may hold gigabytes."""
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as member:
        for _ in range(MAX_UNPACKED // 2**24 + 1):
            member.write(bytes(2**24))
    line = refusal(capsys, ["evaluate", "--real", str(bomb), "--fake", str(bomb)])
    assert "bomb.npz: got a file that cannot be read (images.npy of" in line
