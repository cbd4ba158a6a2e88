"""Fifteen bad or unusual images: the check refuses a folder with one; `genlib evaluate` leaves it out and says so."""

import contextlib
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.mutations import FILE_DAMAGE, REFUSED, SAME, Mutation, flip_bit, parametrize, require_refusal, truncate
from PIL import Image

from genlib.cli import main
from genlib.errors import run_cli
from pipelines import check

pytestmark = pytest.mark.usefixtures("few_draws")
EVALUATE = ["evaluate", "--real", "real", "--metrics", "kid", "--fake"]
DAMAGED = "7.png"
PARAMS = """
data: {name: folder, root: real}
evaluate: {metrics: [kid]}
models: {vae: {model: {name: vae, width: 4}, objective: {name: elbo}}}
"""


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_png(side: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + png_chunk(b"IDAT", zlib.compress(data))
        + png_chunk(b"IEND", b"")
    )


def save_gradient(path: Path) -> Path:
    """Write an image of which Pillow decodes other pixels, without an error, where a bit of them is wrong."""
    Image.fromarray((np.indices((256, 256)).sum(0) % 256).astype(np.uint8)).save(path)
    return path


def save_animation(path: Path, kind: str) -> None:
    frames = [Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (0, 99, 200)]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])


IMAGE_DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut in half": FILE_DAMAGE["cut in half"],
    "text": FILE_DAMAGE["text"],
    "empty": FILE_DAMAGE["empty"],
    "a bit of its pixels": lambda path: flip_bit(save_gradient(path), 0.3, 4),
    "a header of 60,000 x 60,000": lambda path: path.write_bytes(encode_png(60_000)),
    "a header of 10,000 x 10,000": lambda path: path.write_bytes(encode_png(10_000)),
    "a header of 9,000 x 9,000": lambda path: path.write_bytes(encode_png(9_000)),
    "32 bits of grey": lambda path: Image.fromarray(np.ones((8, 8), np.float32)).save(path, "TIFF"),
    "two pages": lambda path: save_animation(path, "TIFF"),
    "16 bits per channel": lambda path: path.write_bytes(encode_png(8, 16, 2, (b"\0" + b"\7" * 48) * 8)),
    "an animated GIF": lambda path: save_animation(path, "GIF"),
    "16 bits of grey": lambda path: path.write_bytes(encode_png(8, 16, 0, (b"\0" + b"\7" * 16) * 8)),
    "an animated PNG": lambda path: save_animation(path, "PNG"),
    "half a JPEG": lambda path: (Image.new("L", (64, 64)).save(path, "JPEG"), truncate(path, 0.5)),
    "1 x 1": lambda path: Image.new("L", (1, 1)).save(path),
}
MUTATIONS = [
    *(Mutation(f"folder: {name}", damage, REFUSED) for name, damage in IMAGE_DAMAGE.items()),
    *(Mutation(f"evaluate: {name}", damage, SAME) for name, damage in IMAGE_DAMAGE.items()),
]


@pytest.fixture(scope="module")
def image_folders(tmp_path_factory):
    """Two folders of 40 images, params that name the first, and metrics of the second without one image."""
    root = tmp_path_factory.mktemp("image_folders")
    for name, seed in (("real", 0), ("fake", 1)):
        generator = np.random.default_rng(seed)
        (root / name).mkdir()
        for number in range(40):
            Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / name / f"{number}.png")
    (root / "params.yaml").write_text(PARAMS)
    shutil.copytree(root / "fake", root / "without")
    (root / "without" / DAMAGED).unlink()
    with contextlib.chdir(root):
        assert main([*EVALUATE, "without", "--json", "without.json"]) == 0
    return root


@parametrize(MUTATIONS)
def test_bad_images(mutation, image_folders, tmp_path, monkeypatch, capsys):
    for name in ("real", "fake"):
        shutil.copytree(image_folders / name, tmp_path / name)
    shutil.copy(image_folders / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    if mutation.expected == REFUSED:
        mutation.damage(tmp_path / "real" / DAMAGED)
        code = run_cli(lambda: check.check(None, []))
        require_refusal(code, capsys.readouterr().err, re.escape(f"real/{DAMAGED}"))
        assert not (tmp_path / "runs").exists()
        return
    damaged = tmp_path / "fake" / DAMAGED
    mutation.damage(damaged)
    assert main([*EVALUATE, "fake", "--strict"]) == 2
    strict = capsys.readouterr()
    assert main([*EVALUATE, "fake", "--json", "all.json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    if mutation.name.endswith("1 x 1"):
        require_refusal(2, strict.err, "--fake: got 1 of 40 images of another shape")
        assert "--fake: 1 of 40 images are resized or converted to 1x8x8" in printed.out
    else:
        require_refusal(2, strict.err, re.escape(f"fake/{DAMAGED}"))
        assert f"--fake: left out fake/{DAMAGED}" in printed.out
        reports = tmp_path / "all.json", image_folders / "without.json"
        metrics, metrics_without = (json.loads(path.read_text())["metrics"] for path in reports)
        assert metrics == metrics_without
