"""Arrays of files: read as NumPy and safetensors read them, in memory or in a file."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genlib.data import pixels as storage
from genlib.data.arrays import open_safetensors, read_arrays
from genlib.data.pixels import StoredPixels
from genlib.errors import InputError


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_tensors_of_every_kind_are_those_of_safetensors(tmp_path, dtype):
    values = (torch.rand(9, 2, 3) * 100).to(dtype)
    save_file({"a": values, "b": torch.zeros(2, 5)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = open_safetensors(tmp_path / "x.safetensors")
    assert found.keys() == {"a", "b"} and torch.equal(found["a"][:], values) and found["a"][4].dtype == dtype


@pytest.mark.parametrize("content", [b"", b"noise", bytes(8), b"\xff" * 40, b"\x02" + bytes(7) + b"[]"])
def test_what_is_no_safetensors_file_is_one_line(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"x.safetensors: got a file that cannot be read \(.*\), expected a saf"):
        open_safetensors(tmp_path / "x.safetensors")


ARRAYS = {
    "bytes": np.arange(60, dtype=np.uint8).reshape(5, 3, 4),
    "floats": np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 3, 4),
    "columns first": np.asfortranarray(np.arange(60.0).reshape(5, 12)),
    "other bytes first": np.arange(60, dtype=">f4").reshape(5, 12),
    "half": np.arange(60, dtype=np.float16).reshape(5, 12),
    "scalar": np.float64(3),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ARRAYS)
def test_large_arrays_of_npz_files_are_unpacked_to_a_file(tmp_path, monkeypatch, save, kind):
    save(tmp_path / "x.npz", images=ARRAYS[kind], other=np.zeros(3))
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", 0)
    found = read_arrays(tmp_path / "x.npz", ["images"], "arrays")
    assert list(found) == ["images", "other"] and found["other"] is None
    is_stored = isinstance(found["images"], StoredPixels)
    assert is_stored == (kind in ("bytes", "floats", "half"))
    np.testing.assert_array_equal(found["images"][:] if is_stored else found["images"], ARRAYS[kind])


def test_a_damaged_large_array_is_one_line(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", images=np.random.default_rng(0).random((50, 8, 8)))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", 0)
    with pytest.raises(InputError, match=r"x.npz: got a file that cannot be read \(.*\), expected arrays"):
        read_arrays(tmp_path / "x.npz", ["images"], "arrays")
