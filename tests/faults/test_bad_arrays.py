"""Damaged or unusual files of arrays: `genlib evaluate` refuses one with one line, or reads the same images."""

import contextlib
import io
import json
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.mutations import FILE_DAMAGE, REFUSED, SAME, Mutation, parametrize, require_refusal
from safetensors.torch import save_file

from genlib.cli import main

pytestmark = pytest.mark.usefixtures("few_draws")
EVALUATE = ["evaluate", "--real", "real.npz", "--metrics", "kid", "--json", "out.json", "--fake"]
NPZ, TENSORS = "fake.npz", "fake.safetensors"
UNDETECTED = (
    "a bit in the middle",
    "a bit near the end",
    "a bit of the last byte",
)  # a pixel: safetensors has no checksum
UNREAD = ("with one more byte", "a bit of the header", "a bit of the last byte")  # what a zip says of itself
Damage = Callable[[Path], object]


def images(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)


def save(file: str = NPZ, **arrays: np.ndarray) -> Damage:
    return lambda folder: np.savez(folder / file, **arrays)


def tensors(**arrays: torch.Tensor) -> Damage:
    return lambda folder: save_file(arrays, folder / TENSORS)


def members(*parts: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Damage:
    """An archive with these members."""

    def damage(folder: Path) -> None:
        with zipfile.ZipFile(folder / NPZ, "w", compression) as archive:
            for name, content in parts:
                archive.writestr(name, content)

    return damage


def npy(array: np.ndarray, **header: object) -> bytes:
    """An .npy file, with these entries of its header changed."""
    stream = io.BytesIO()
    facts = np.lib.format.header_data_from_array_1_0(array) | header
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.getvalue() + array.tobytes()


def with_pixel(value: float, scale: float = 255, offset: float = 0) -> np.ndarray:
    changed = images().astype(np.float32) / scale + offset
    changed[7, 0, 3, 3] = value
    return changed


def unit() -> np.ndarray:
    return images().astype(np.float64) / 255


PIXELS = images()
CODE = b"cposix\nsystem\n(S'touch executed'\ntR."
BAD_VALUES: dict[str, np.ndarray] = {
    "NaN": with_pixel(np.nan),
    "infinity": with_pixel(np.inf),
    "minus infinity": with_pixel(-np.inf),
    "0 to 255 as floats": PIXELS.astype(np.float32),
    "a float of 1.01": with_pixel(1.01),
    "a float of -0.0033, as of a bicubic resize": with_pixel(-0.0033),
    "a float of -1.01 in [-1, 1]": with_pixel(-1.01, 127.5, -1),
    "whole numbers of 16 bits": PIXELS.astype(np.int16),
    "whole numbers of 64 bits": PIXELS.astype(np.int64),
    "truth values": PIXELS > 99,
    "complex numbers": PIXELS.astype(np.complex64),
    "text": PIXELS.astype(str),
    "bytes": PIXELS.astype("S"),
    "dates": PIXELS.astype("datetime64[s]"),
    "no dimension": np.uint8(3),
    "one dimension": PIXELS.reshape(-1),
    "two dimensions": PIXELS.reshape(40, 64),
    "five dimensions": PIXELS[None],
    "no images": PIXELS[:0],
    "no height": PIXELS[:, :, :0],
    "two channels": np.repeat(PIXELS, 2, 1),
    "four channels": np.repeat(PIXELS, 4, 1),
    "seven channels, last": np.repeat(PIXELS, 7, 1).transpose(0, 2, 3, 1),
}
SAME_IMAGES: dict[str, np.ndarray] = {
    "big-endian floats": unit().astype(">f4"),
    "big-endian doubles": unit().astype(">f8"),
    "floats of 64 bits": unit(),
    "floats of 32 bits": unit().astype(np.float32),
    "floats in [-1, 1]": unit() * 2 - 1,
    "a hair below 0": np.where(PIXELS == 0, -1e-7, unit()),
    "a thousandth below 0": np.where(PIXELS == 0, -9e-4, unit()),
    "a hair above 1": np.where(PIXELS == 255, 1 + 5e-4, unit()),
    "a hair below -1": np.where(PIXELS == 0, -1 - 1e-6, unit() * 2 - 1),
    "channels last": PIXELS.transpose(0, 2, 3, 1),
    "without channels": PIXELS[:, 0],
    "Fortran's order": np.asfortranarray(PIXELS),
}
CONTENT: dict[str, tuple[Damage, str]] = {
    **{f"npz: {name}": (save(pixels=array), REFUSED) for name, array in BAD_VALUES.items()},
    **{f"npz: {name}": (save(images=array), SAME) for name, array in SAME_IMAGES.items()},
    "npz: no array": (save(), REFUSED),
    "npz: another name": (save(pictures=PIXELS), REFUSED),
    "npz: arr_0": (save(arr_0=PIXELS), SAME),
    "npz: another array beside": (save(pixels=PIXELS, features=np.zeros(3)), SAME),
    "npz: objects that run code": (save(pixels=np.array([pickle.loads, 3], dtype=object)), REFUSED),
    "npz: a pickle in the place of an array": (members(("pixels.npy", CODE)), REFUSED),
    "npz: a pickle in the place of the file": (lambda folder: (folder / NPZ).write_bytes(CODE), REFUSED),
    "npz: a header of 10^12 images": (members(("pixels.npy", npy(PIXELS, shape=(10**12, 1, 8, 8)))), REFUSED),
    "npz: a negative shape": (members(("pixels.npy", npy(PIXELS, shape=(-40, 1, 8, 8)))), REFUSED),
    "npz: half of an array": (members(("pixels.npy", npy(PIXELS)[:1500])), REFUSED),
    "npz: a member outside": (members(("../pixels.npy", npy(PIXELS))), REFUSED),
    "npz: 512 MiB of zeros in 500 kB": (members(("pixels.npy", npy(PIXELS) + bytes(2**29))), REFUSED),
    "npz: labels of another length": (save(pixels=PIXELS, labels=np.arange(39)), REFUSED),
    "npz: labels that are fractions": (save(pixels=PIXELS, labels=np.linspace(0, 1, 40)), REFUSED),
    "npz: labels below 0": (save(pixels=PIXELS, labels=np.arange(40) - 1), REFUSED),
    "npz: labels of two dimensions": (save(pixels=PIXELS, labels=np.eye(40, dtype=int)), REFUSED),
    "npz: no compression": (members(("pixels.npy", npy(PIXELS)), compression=zipfile.ZIP_STORED), SAME),
    "safetensors: NaN": (tensors(pixels=torch.full((40, 1, 8, 8), torch.nan)), REFUSED),
    "safetensors: NaN of 16 bits": (tensors(pixels=torch.full((40, 1, 8, 8), torch.nan).bfloat16()), REFUSED),
    "safetensors: no images": (tensors(pixels=torch.zeros(0, 1, 8, 8)), REFUSED),
    "safetensors: another name": (tensors(pictures=torch.from_numpy(PIXELS)), REFUSED),
    "safetensors: two channels": (tensors(pixels=torch.zeros(40, 2, 8, 8)), REFUSED),
    "safetensors: whole numbers": (tensors(pixels=torch.zeros(40, 1, 8, 8, dtype=torch.int32)), REFUSED),
    "safetensors: doubles": (tensors(pixels=torch.from_numpy(unit())), SAME),
    "safetensors: [-1, 1], channels last": (
        tensors(images=torch.from_numpy(unit() * 2 - 1).permute(0, 2, 3, 1).contiguous()),
        SAME,
    ),
}
FILES = {
    **{f"npz: {name}": (NPZ, damage) for name, damage in FILE_DAMAGE.items() if name not in UNREAD},
    **{f"safetensors: {name}": (TENSORS, damage) for name, damage in FILE_DAMAGE.items() if name not in UNDETECTED},
    "npz: a folder of that name": (NPZ, lambda path: (path.unlink(), path.mkdir())),
    "safetensors: a folder of that name": (TENSORS, lambda path: (path.unlink(), path.mkdir())),
    "npz: no file": (NPZ, Path.unlink),
    "npz: a link to nothing": (NPZ, lambda path: (path.unlink(), path.symlink_to("nothing"))),
    "npz: a link to a device": (NPZ, lambda path: (path.unlink(), path.symlink_to("/dev/null"))),
    "npz: named .npy": (NPZ, lambda path: path.rename(path.with_suffix(".npy"))),
}


def damage_file(file: str, damage: Damage) -> Damage:
    return lambda folder: damage(folder / file)


MUTATIONS = [
    *(Mutation(name, damage, expected) for name, (damage, expected) in CONTENT.items()),
    *(Mutation(f"file of {name}", damage_file(*pair)) for name, pair in FILES.items()),
    *(Mutation(f"file of npz: {name}", damage_file(NPZ, FILE_DAMAGE[name]), SAME) for name in UNREAD),
]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    root = tmp_path_factory.mktemp("arrays")
    np.savez(root / "real.npz", pixels=images(0))
    np.savez_compressed(root / NPZ, pixels=PIXELS)
    save_file({"pixels": torch.from_numpy(PIXELS)}, root / TENSORS)
    with contextlib.chdir(root):
        assert main([*EVALUATE, NPZ]) == 0
    return root


@parametrize(MUTATIONS)
def test_bad_arrays(mutation, arrays, tmp_path, monkeypatch, capsys):
    for name in ("real.npz", NPZ, TENSORS):
        shutil.copy(arrays / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    mutation.damage(tmp_path)
    fake = TENSORS if "safetensors" in mutation.name else NPZ if not Path("fake.npy").exists() else "fake.npy"
    code = main([*EVALUATE, fake])
    printed = capsys.readouterr()
    assert not (tmp_path / "executed").exists()
    if mutation.expected == REFUSED:
        require_refusal(code, printed.err, re.escape(fake))
        assert not (tmp_path / "out.json").exists()
        return
    assert (code, printed.err) == (0, "")
    same, found = (json.loads((folder / "out.json").read_text())["metrics"] for folder in (arrays, tmp_path))
    assert found == same
