"""The hash of what a set is read from follows the names and contents of its files, and each file is read once."""

import os
import uuid
from pathlib import Path

import pytest
from image_files import classes, folder, picture
from upath import UPath

from genlib.data import raw
from genlib.data.config import DataConfig, DomainBConfig, parse_root
from genlib.data.raw import describe_place, describe_raw
from genlib.errors import MissingDataError


@pytest.fixture
def pictures(tmp_path):
    """A folder whose files are older than a moment."""
    root = classes(tmp_path / "pictures", count=5)
    for path in root.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    return root


@pytest.fixture
def hashed(monkeypatch):
    """The files that were read to be hashed."""
    paths, file_sha256 = [], raw.file_sha256
    monkeypatch.setattr(raw, "file_sha256", lambda path: paths.append(path) or file_sha256(path))
    return paths


def describe(root: Path, **options) -> dict:
    return describe_raw(folder(root, **options), root.parent / "hashes.json")


def test_files_are_counted_and_only_those_that_changed_are_read_again(pictures, hashed):
    found = describe(pictures)
    num_bytes = sum(path.stat().st_size for path in pictures.rglob("*.png"))
    [domain] = found["domains"]
    assert (domain["name"], domain["root"], domain["files"], domain["bytes"]) == (
        "folder",
        str(pictures),
        10,
        num_bytes,
    )
    assert len(hashed) == 10 and describe(pictures) == found and len(hashed) == 10
    os.utime(pictures / "cat" / "1.png", (2e8, 2e8))
    assert describe(pictures) == found and hashed[10:] == [pictures / "cat" / "1.png"]


CHANGES = {
    "a file more": lambda root: picture(root / "cat" / "9.png"),
    "a file less": lambda root: (root / "cat" / "4.png").unlink(),
    "other content of one size": lambda root: (root / "cat" / "4.png").write_bytes(
        (root / "cat" / "4.png").read_bytes()[:-1] + b"x"
    ),
    "another name": lambda root: (root / "cat" / "4.png").rename(root / "cat" / "5.png"),
    "another class": lambda root: (root / "cat" / "4.png").rename(root / "dog" / "5.png"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_each_change_of_a_file_changes_the_hash(pictures, case):
    before = describe(pictures)["sha256"]
    CHANGES[case](pictures)
    assert describe(pictures)["sha256"] != before


def test_what_is_no_image_and_where_the_folder_lies_change_nothing(pictures):
    [before] = describe(pictures)["domains"]
    (pictures / "cat" / "notes.txt").write_text("text")
    pictures.rename(pictures.with_name("moved"))
    [after] = describe(pictures.with_name("moved"))["domains"]
    assert before["sha256"] == after["sha256"] and before["root"] != after["root"]


def test_a_file_written_twice_in_one_tick_of_the_clock_is_read_twice(pictures, hashed):
    path = picture(pictures / "cat" / "1.png")
    before = describe(pictures)["sha256"]
    found = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert describe(pictures)["sha256"] != before and hashed.count(path) == 2


def test_both_domains_and_sets_of_packages_are_described(tmp_path):
    config = DataConfig(domain_b=DomainBConfig("printed_digits"))
    found = describe_raw(config, tmp_path / "hashes.json")
    assert [(each["name"], each["files"], each["bytes"]) for each in found["domains"]] == [
        ("digits", 0, 0),
        ("printed_digits", 0, 0),
    ]
    assert len({each["sha256"] for each in found["domains"]}) == 2
    assert [{key: each[key] for key in ("name", "root")} for each in found["domains"]] == describe_place(config)


def test_behind_a_url_nothing_is_read(tmp_path, monkeypatch):
    root = UPath(f"memory://{uuid.uuid4().hex}")
    for name in ("a.png", "b.png"):
        root.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    for _ in range(10):
        (root / f"{uuid.uuid4().hex}.png").write_bytes(b"x")
    monkeypatch.setattr(type(root), "open", lambda *_: pytest.fail("a file was opened"))
    config = DataConfig("folder", parse_root(str(root)))
    before = describe_raw(config, tmp_path / "hashes.json")
    assert describe_raw(config, tmp_path / "hashes.json") == before and before["domains"][0]["files"] == 12
    root.fs.pipe_file(f"{root.path}/a.png", b"other")
    assert describe_raw(config, tmp_path / "hashes.json")["sha256"] != before["sha256"]
    root.fs.rm(root.path, recursive=True)


@pytest.mark.parametrize("name", ["nowhere", "empty", "link"])
def test_nothing_there_is_told_apart_from_what_is_no_data(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".gitkeep").touch()
    (tmp_path / "link").symlink_to("gone")
    for source in ("folder", "parquet", "mnist"):
        with pytest.raises(MissingDataError, match=r"^data\.root: got "):
            describe_raw(DataConfig(source, tmp_path / name), tmp_path / "hashes.json")
