"""Fifty damaged or unusual Parquet files: `prepare` refuses one with one line, or prepares the same images."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults.mutations import FILE_DAMAGE, LEGAL, REFUSED, SAME, Mutation, flip_bit, parametrize, require_refusal
from PIL import Image

from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.errors import run_cli

FILE, BESIDE = "train-1.parquet", "train-0.parquet"
ROWS = 60
UNDETECTED = ("a bit of the first byte", "a bit in the middle", "a bit near the end")  # unread, or a pixel or a label
Damage = Callable[[Path], object]


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def pictures(seed: int, shape: tuple[int, ...] = (8, 8)) -> list[bytes]:
    draw = np.random.default_rng(seed)
    return [encode(draw.integers(0, 256, shape, dtype=np.uint8)) for _ in range(ROWS)]


IMAGES, LABELS = pictures(1), [row % 2 for row in range(ROWS)]


def write(path: Path, metadata: dict[str, str] | None = None, **columns: Any) -> None:
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path, row_group_size=7)


def rows(metadata: dict[str, str] | None = None, **columns: Any) -> Damage:
    """The file with these columns in place of its own."""
    return lambda folder: write(folder / FILE, metadata, **columns)


def with_image(data: object) -> Damage:
    return rows(image=[*IMAGES[:5], data, *IMAGES[6:]], label=LABELS)


def with_label(label: object, names: tuple[str, ...] = ()) -> Damage:
    kept = {"huggingface": json.dumps({"info": {"features": {"label": {"names": list(names)}}}})} if names else None
    return rows(kept, image=IMAGES, label=[*LABELS[:5], label, *LABELS[6:]])


def file(damage: Damage) -> Damage:
    return lambda folder: damage(folder / FILE)


CONTENT: dict[str, tuple[Damage, str]] = {
    "no label, where the other has one": (rows(image=IMAGES), REFUSED),
    "labels of another type than the other's": (rows(image=IMAGES, label=[f"{x}.5" for x in LABELS]), LEGAL),
    "no column of images": (rows(picture=IMAGES, label=LABELS), REFUSED),
    "no rows": (rows(image=pa.array([], pa.binary()), label=pa.array([], pa.int64())), LEGAL),
    "no columns": (rows(), REFUSED),
    "a null image": (with_image(None), REFUSED),
    "an empty image": (with_image(b""), REFUSED),
    "text for an image": (with_image(b"this is no image"), REFUSED),
    "half an image": (with_image(IMAGES[5][:60]), REFUSED),
    "an image with a wrong checksum": (with_image(IMAGES[5][:60] + b"?" + IMAGES[5][61:]), REFUSED),
    "an animation": (with_image(b"GIF89a"), REFUSED),
    "an image of another size": (with_image(pictures(3, (9, 9))[0]), REFUSED),
    "paths for images": (rows(image=[f"{row}.png" for row in range(ROWS)], label=LABELS), REFUSED),
    "numbers for images": (rows(image=list(range(ROWS)), label=LABELS), REFUSED),
    "a path and no bytes": (
        rows(image=[{"bytes": None, "path": f"{row}.png"} for row in range(ROWS)], label=LABELS),
        REFUSED,
    ),
    "bytes and a path": (rows(image=[{"bytes": data, "path": "x"} for data in IMAGES], label=LABELS), SAME),
    "the column img": (rows(img=IMAGES, label=LABELS), SAME),
    "a further column": (rows(image=IMAGES, label=LABELS, caption=["x"] * ROWS), SAME),
    "the columns in another order": (rows(label=LABELS, image=IMAGES), SAME),
    "small whole numbers as labels": (rows(image=IMAGES, label=pa.array(LABELS, pa.int8())), SAME),
    "a null label": (with_label(None), REFUSED),
    "a label below 0": (with_label(-1), REFUSED),
    "a label beyond its names": (with_label(2, ("cat", "dog")), REFUSED),
    "labels that are lists": (rows(image=IMAGES, label=[[x] for x in LABELS]), REFUSED),
    "labels that are fractions": (rows(image=IMAGES, label=[x + 0.5 for x in LABELS]), REFUSED),
    "labels that are truth values": (rows(image=IMAGES, label=[bool(x) for x in LABELS]), REFUSED),
    "names that are no list": (
        rows({"huggingface": '{"info": {"features": {"label": {"names": 3}}}}'}, image=IMAGES, label=LABELS),
        REFUSED,
    ),
    "metadata that are no JSON": (rows({"huggingface": "{"}, image=IMAGES, label=LABELS), SAME),
    "metadata of lists in each other": (rows({"huggingface": "[" * 5000}, image=IMAGES, label=LABELS), REFUSED),
    "a folder of that name": (file(lambda path: (path.unlink(), path.mkdir())), LEGAL),
    "a link to nothing": (file(lambda path: (path.unlink(), path.symlink_to("nothing"))), REFUSED),
    "a link to a device": (file(lambda path: (path.unlink(), path.symlink_to("/dev/zero"))), REFUSED),
    "a table of Arrow": (file(lambda path: pa.OSFile(str(path), "wb").write(b"ARROW1\0\0")), REFUSED),
    "the magic number alone": (file(lambda path: path.write_bytes(b"PAR1")), REFUSED),
    "both ends alone": (file(lambda path: path.write_bytes(b"PAR1" + bytes(8) + b"PAR1")), REFUSED),
    "a footer that is too long": (file(lambda path: flip_bit(path, 1 - 6 / path.stat().st_size, 64)), REFUSED),
    "no bytes in the middle": (
        file(lambda path: path.write_bytes(path.read_bytes()[:2000] + path.read_bytes()[3000:])),
        REFUSED,
    ),
    "a hidden file beside": (lambda folder: (folder / "._train-2.parquet").write_bytes(b"x"), SAME),
}
MUTATIONS = [
    *(Mutation(name, damage, expected) for name, (damage, expected) in CONTENT.items()),
    *(Mutation(name, file(damage)) for name, damage in FILE_DAMAGE.items() if name not in UNDETECTED),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    write(root / BESIDE, image=pictures(0), label=LABELS)
    write(root / FILE, image=IMAGES, label=LABELS)
    return root


def read_sha256(folder: Path) -> str:
    return load_dataset(folder).sha256


@parametrize(MUTATIONS)
def test_bad_parquet(mutation, shards, tmp_path, capsys):
    root, out = tmp_path / "root", tmp_path / "out"
    shutil.copytree(shards, root)
    config = DataConfig(name="parquet", root=root)
    mutation.damage(root)
    code = run_cli(lambda: prepare(config, out) and None)
    printed = capsys.readouterr()
    if mutation.expected == REFUSED:
        require_refusal(code, printed.err, re.escape(str(root)))
        assert not out.exists()
        return
    assert (code, printed.err) == (0, "")
    if mutation.expected == LEGAL:
        return
    assert run_cli(lambda: prepare(DataConfig(name="parquet", root=shards), tmp_path / "same") and None) == 0
    assert read_sha256(out) == read_sha256(tmp_path / "same")
