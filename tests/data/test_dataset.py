"""The prepared folder: its hash, what damages it, and sets larger than the memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numbered_images import made
from PIL import Image

from genlib.data.config import DataConfig
from genlib.data.dataset import content_hash, load_dataset, prepare
from genlib.errors import InputError

SPARE = """
import sys, threading, time
from pathlib import Path
from genlib.data import dataset, images
from genlib.data.config import DataConfig
images.MAX_IN_MEMORY_BYTES = int(sys.argv[1])
def held():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024
most, done, before = 0.0, threading.Event(), held()
def watch():
    global most
    while not done.wait(0.005):
        most = max(most, held())
threading.Thread(target=watch).start()
info = dataset.prepare(DataConfig(name="folder", root=Path("pictures"), image_size=1000), Path(sys.argv[2]))
done.set()
print(most - before, info["sha256"])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc that tells what a process holds")
def test_a_large_set_is_prepared_without_being_in_memory(tmp_path):
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
        with pytest.raises(InputError, match=r"prepared: got that it cannot be written"):
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
    root = Path(__file__).parents[2] / ".." / "shared" / "data"
    if not (root / "MNIST").is_dir():
        pytest.skip(f"no MNIST in {root}")
    info = prepare(DataConfig(name="mnist", root=root, split="official"), tmp_path)
    assert info["counts"] == {"train": 55000, "valid": 5000, "test": 10000}
    assert load_dataset(tmp_path).test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
