"""All files of a set: the same pixels whoever decodes them, each file opened once, and all problems in one line."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from image_files import classes, folder, picture

from genlib.data import decoding, image_folder, processes, reading
from genlib.data.catalog import find_source
from genlib.data.dataset import prepare
from genlib.data.processes import available_cpus, map_in_processes, map_patiently
from genlib.errors import InputError


@pytest.fixture
def many(tmp_path):
    """A folder of which a part alone is looked at."""
    classes(tmp_path / "many", count=40, mode="RGB", size=(20, 14))
    return tmp_path / "many"


def test_any_number_of_processes_prepares_the_same(many, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE_S", 0.0)
    monkeypatch.setattr(reading, "CHUNK_FILES", 7)
    config = folder(many, image_size=8)
    maps = {
        1: map,
        2: partial(map_patiently, partial(map_in_processes, 2)),
        3: partial(map_patiently, partial(map_in_processes, 3)),
    }
    found = {count: prepare(replace(config, map_chunks=each), tmp_path / str(count)) for count, each in maps.items()}
    assert found[1] == found[2] == found[3]


def process_of(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_short_work_starts_no_process_and_order_is_kept(monkeypatch):
    by_two = partial(map_patiently, partial(map_in_processes, 2))
    assert {pid for _, pid in by_two(process_of, range(20))} == {os.getpid()} and list(by_two(process_of, [])) == []
    monkeypatch.setattr(processes, "PATIENCE_S", 0.0)
    numbers, pids = zip(*by_two(process_of, range(20)), strict=True)
    assert numbers == tuple(range(20)) and pids[0] == os.getpid() and os.getpid() not in pids[1:]
    assert list(map_in_processes(2, process_of, [])) == [] and available_cpus() >= 1


def test_each_file_is_opened_once(many, monkeypatch):
    source, opened = find_source(folder(many, image_size=8)), []
    read = decoding._read_local
    monkeypatch.setattr(decoding, "_read_local", lambda path: opened.append(path) or read(path))
    source.train()
    assert sorted(opened) == sorted(source.files) and len(opened) == 80


@pytest.mark.parametrize("number", [1, 2])
def test_broken_files_beyond_the_probe_are_named_in_one_line(many, monkeypatch, number):
    monkeypatch.setattr(image_folder, "PROBE_FILES", 4)
    source = find_source(folder(many, image_size=8))
    for name in ("cat/7.png", "dog/13.png")[:number]:
        (many / name).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"cat/7\.png: got an image that cannot be read") as caught:
        source.train()
    assert str(caught.value).endswith(" (and 1 more)") == (number == 2)


def test_another_size_beyond_the_probe_is_named(many, monkeypatch):
    monkeypatch.setattr(image_folder, "PROBE_FILES", 4)
    picture(many / "cat" / "7.png", "RGB", size=(20, 15))
    with pytest.raises(
        InputError, match=r"^data.image_size: got null, but .*cat/0.png is 20x14 and .*cat/7.png is 20x15,"
    ):
        find_source(folder(many)).train()


@pytest.mark.parametrize("seen", [False, True])
def test_grey_images_among_colours_become_rgb(many, monkeypatch, seen, capsys):
    picture(many / "cat" / "7.png", size=(20, 14))
    if not seen:
        monkeypatch.setattr(image_folder, "PROBE_FILES", 4)
    source, line = find_source(folder(many)), "1 of 80 images are grey, and are read as RGB"
    pixels = source.train().pixels
    assert pixels.shape[1] == source.channels == 3 and torch.equal(pixels[7, :1].expand(3, -1, -1), pixels[7])
    assert (source.notes, capsys.readouterr().out) == (((line,), "") if seen else ((), f"{line}\n"))


def test_a_colour_image_beyond_the_probe_makes_all_rgb(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_folder, "PROBE_FILES", 4)
    for part in ("train", "test"):
        classes(tmp_path / part, count=40)
    picture(tmp_path / "test" / "cat" / "7.png", "RGB")
    info = prepare(folder(tmp_path, split="official"), tmp_path / "out")
    assert info["shape"] == [3, 7, 9] and "79 of 80 images are grey" in capsys.readouterr().out
    grey: Path = tmp_path / "test" / "cat" / "7.png"
    picture(grey)
    assert prepare(folder(tmp_path, split="official"), tmp_path / "out")["shape"] == [1, 7, 9]
