"""Sets in Parquet files, and sets behind a URL: the same images as in a folder, and how they are refused."""

from __future__ import annotations

import io
import json
import shutil
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from upath import UPath

from genlib.data.catalog import find_source
from genlib.data.config import DataConfig, parse_root
from genlib.data.dataset import load_dataset, prepare
from genlib.errors import InputError

NAMES = ("cat", "dog")


def pictures(count: int, seed: int = 0, mode: str = "L") -> list[bytes]:
    """PNG files of 9 x 7 pixels, all different."""
    draw, found = np.random.default_rng(seed), []
    for _ in range(count):
        stream = io.BytesIO()
        shape = (7, 9, 3) if mode == "RGB" else (7, 9)
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def table(path: Path, images: list, labels: list | None = None, *, column: str = "image", names=None) -> Path:
    """A Parquet file of image files; `names` are noted as Hugging Face notes them."""
    columns = {column: images} | ({} if labels is None else {"label": labels})
    made = pa.table(columns)
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path, row_group_size=5)
    return path


def settings(root: Path, **changes) -> DataConfig:
    return DataConfig(**{"name": "parquet", "root": root} | changes)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_parquet_holds_what_a_folder_holds(tmp_path, mode):
    """Rows over several files and row groups, in the order of the folder, give the same prepared set."""
    images = {name: pictures(150, seed, mode) for seed, name in enumerate(NAMES)}
    rows = [(data, name) for name in NAMES for data in images[name]]
    for name, files in images.items():
        for index, data in enumerate(files):
            path = tmp_path / "folder" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for part, start in enumerate(range(0, 300, 100)):
        some = rows[start : start + 100]
        cells = [{"bytes": data, "path": None} for data, _ in some]
        labels = [NAMES.index(name) for _, name in some]
        table(tmp_path / "tables" / "data" / f"train-{part}-of-3.parquet", cells, labels, names=NAMES)
    told = prepare(settings(tmp_path / "tables"), tmp_path / "a")
    same = prepare(settings(tmp_path / "folder", name="folder"), tmp_path / "b")
    assert told["sha256"] == same["sha256"] and told["classes"] == list(NAMES)
    assert told["source"] == "parquet tables"


def test_an_official_test_set_and_labels_without_names(tmp_path):
    table(tmp_path / "train-0.parquet", pictures(20), [10, 9] * 10, column="img")
    table(tmp_path / "test-0.parquet", pictures(6, 1), [9, 10] * 3, column="img")
    info = prepare(settings(tmp_path, split="official"), tmp_path / "out")
    data = load_dataset(tmp_path / "out")
    assert (info["classes"], info["counts"]) == (["9", "10"], {"train": 15, "valid": 5, "test": 6})
    assert data.test.labels.tolist() == [0, 1] * 3
    first = np.asarray(Image.open(io.BytesIO(pictures(6, 1)[0])))
    assert torch.equal(data.test.pixels[0, 0], torch.from_numpy(first.copy()))


def test_grey_images_among_colours_become_rgb(tmp_path):
    table(tmp_path / "0.parquet", pictures(12) + pictures(4, mode="RGB"))
    source = find_source(settings(tmp_path))
    assert source.notes == ("12 of 16 images are grey, and are read as RGB",)
    pixels = source.train().pixels
    assert pixels.shape[1] == 3 and torch.equal(pixels[:12, :1].expand(-1, 3, -1, -1), pixels[:12])


def test_without_labels(tmp_path):
    table(tmp_path / "0.parquet", pictures(20))
    source = find_source(settings(tmp_path, image_size=8))
    images = source.train()
    assert (source.classes, images.labels, images.shape, len(images)) == ((), None, (1, 8, 8), 20)


REFUSED = {
    "nothing": (lambda root: None, ["no images in", "which is empty", "column image"]),
    "garbage": (lambda root: (root / "0.parquet").write_bytes(b"PAR1garbage"), ["0.parquet", "cannot be read"]),
    "no column": (lambda root: table(root / "0.parquet", pictures(9), column="picture"), ["columns picture"]),
    "no image": (lambda root: table(root / "0.parquet", [*pictures(9), None]), ["no image in row 9"]),
    "no bytes": (
        lambda root: table(root / "0.parquet", [{"bytes": None, "path": "x.png"}] * 9),
        ["0.parquet", "no image in row 0"],
    ),
    "truncated": (
        lambda root: table(root / "0.parquet", [*pictures(8), pictures(1)[0][:60]]),
        ["0.parquet, row 8", "cannot be read"],
    ),
    "label beyond": (
        lambda root: table(root / "0.parquet", pictures(9), [0] * 8 + [2], names=NAMES),
        ["label 2 in row 8", "0 to 1"],
    ),
    "no label": (lambda root: table(root / "0.parquet", pictures(9), [0] * 8 + [None]), ["label None in row 8"]),
    "a label below 0": (lambda root: table(root / "0.parquet", pictures(9), [0] * 8 + [-1]), ["label -1 in row 8"]),
    "a file without labels": (
        lambda root: (
            table(root / "train-0.parquet", pictures(9), [0] * 9),
            table(root / "train-1.parquet", pictures(9)),
        ),
        ["train-1.parquet: got no column label", "train-0.parquet"],
    ),
    "a test set without labels": (
        lambda root: (
            table(root / "train-0.parquet", pictures(9), [0] * 9),
            table(root / "test-0.parquet", pictures(9)),
        ),
        ["test-0.parquet: got no column label", "train-0.parquet"],
    ),
    "labels in a later file": (
        lambda root: (table(root / "0.parquet", pictures(9)), table(root / "1.parquet", pictures(9), [0] * 9)),
        ["1.parquet: got the column label", "expected no column label", "0.parquet"],
    ),
    "names in one file": (
        lambda root: (
            table(root / "0.parquet", pictures(9), [0] * 9, names=NAMES),
            table(root / "1.parquet", pictures(9), [0] * 9),
        ),
        ["1.parquet: got the column label without names", "0.parquet"],
    ),
    "rare class": (lambda root: table(root / "0.parquet", pictures(9), ["a"] * 7 + ["b"] * 2), ["2 images", "'b'"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path):
    make, words = REFUSED[case]
    make(tmp_path)
    with pytest.raises(InputError) as caught:
        find_source(settings(tmp_path))
    message = str(caught.value)
    assert "\n" not in message and "expected " in message
    assert [word for word in words if word not in message] == []


# behind a URL: fsspec's file system in memory stands for a bucket


@pytest.fixture
def bucket():
    found = UPath(f"memory://{uuid.uuid4().hex}")
    found.mkdir(parents=True)
    yield found
    found.fs.rm(found.path, recursive=True)


def test_a_url_holds_what_a_folder_holds(tmp_path, bucket):
    for seed, name in enumerate(NAMES):
        for index, data in enumerate(pictures(6, seed)):
            for root in (tmp_path / "local", bucket / "folder"):
                (root / name).mkdir(parents=True, exist_ok=True)
                (root / name / f"{index}.png").write_bytes(data)
    path = table(tmp_path / "0.parquet", pictures(12), ["x", "y"] * 6)
    (bucket / "tables").mkdir()
    with path.open("rb") as ours, (bucket / "tables" / "0.parquet").open("wb") as theirs:
        shutil.copyfileobj(ours, theirs)
    hashes = {
        (name, str(root)): prepare(settings(root, name=name), tmp_path / "out")["sha256"]
        for name, root in (
            ("folder", tmp_path / "local"),
            ("folder", parse_root(str(bucket / "folder"))),
            ("parquet", tmp_path),
            ("parquet", parse_root(str(bucket / "tables"))),
        )
    }
    folders, tables = ({sha for (name, _), sha in hashes.items() if name == kind} for kind in ("folder", "parquet"))
    assert len(hashes) == 4 and len(folders) == len(tables) == 1


@pytest.mark.parametrize("root", ["nope://x/y", "s3://bucket/images"])
def test_urls_that_nothing_here_knows_are_refused(root):
    with pytest.raises(InputError, match=rf"^data\.root: got {root} \(.+\), expected ") as caught:
        parse_root(root)
    assert "\n" not in str(caught.value)


def test_a_url_without_anything_behind_it(bucket):
    with pytest.raises(InputError, match=r"^data\.root: got no folder memory://"):
        find_source(settings(bucket / "none", name="folder"))
    with pytest.raises(InputError, match=r"expected a folder of this machine for mnist"):
        find_source(settings(bucket, name="mnist"))


def test_a_store_that_fails_is_told_in_one_line(bucket, monkeypatch):
    def fail(*_, **__):
        raise PermissionError("denied\nby whom")

    monkeypatch.setattr(type(bucket.fs), "ls", fail)
    with pytest.raises(
        InputError, match=r"^data\.root: got memory://.+ out of reach \(denied by whom\), expected "
    ) as caught:
        find_source(settings(bucket, name="folder"))
    assert "\n" not in str(caught.value)
