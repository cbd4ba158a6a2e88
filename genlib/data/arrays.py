"""Arrays of safetensors and npz files, of which large ones stay in a file. Nothing is unpickled."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from safetensors import safe_open

from genlib.data import pixels
from genlib.data.pixels import PIECE_BYTES, FileHandle, StoredPixels
from genlib.errors import InputError, one_line

MAX_UNPACKED, MAX_COMPRESSION = 2**28, 200  # an array of an .npz may have more bytes, or be packed denser, not both
MAX_HEADER_BYTES = 100 * 10**6  # that safetensors allows
DTYPES = {
    **{"BOOL": torch.bool, "U8": torch.uint8, "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64},
    **{"I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64},
    **{"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64},
}  # by the names of safetensors


def read_arrays(path: Path, names: Collection[str], expected: str) -> dict[str, Any]:
    """The arrays of a file: those of `names`, and None for others of an npz. Raises InputError where it cannot be
    read."""
    try:
        if path.suffix.lower() == ".safetensors":
            return {**_open_tensors(path)}
        if is_zipfile(path):
            _require_moderate_compression(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: _read_array(stored, name) if name in names else None for name in stored.files}
    except InputError:
        raise
    except Exception as error:  # zip, zlib, NumPy and JSON each have their own
        raise InputError(f"{path}: got a file that cannot be read ({one_line(error)}), expected {expected}") from error


def open_safetensors(path: Path) -> dict[str, StoredPixels]:
    """The tensors of a safetensors file by name, unread. Raises InputError where it is not of that form."""
    return read_arrays(path, (), "a safetensors file")


def _open_tensors(path: Path) -> dict[str, StoredPixels]:
    with safe_open(path, framework="pt"):  # refuses what is cut short, too long or has holes; reads the header only
        pass
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(min(size, MAX_HEADER_BYTES)))
    header.pop("__metadata__", None)
    return {name: _open_tensor(path, 8 + size, entry) for name, entry in header.items()}


def _open_tensor(path: Path, data_start: int, entry: Mapping[str, Any]) -> StoredPixels:
    dtype, shape, (start, _) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    return StoredPixels.open(path, data_start + start, shape, dtype)


def _require_moderate_compression(path: Path) -> None:
    """Raise ValueError for a small file that would fill the memory."""
    with ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > max(MAX_UNPACKED, MAX_COMPRESSION * member.compress_size):
                found = f"{member.filename} of {member.compress_size:,} bytes, {member.file_size:,} unpacked"
                raise ValueError(f"{found}: more than {MAX_UNPACKED:,} and than {MAX_COMPRESSION} times as many")


def _read_array(stored: Any, name: str) -> Any:
    """In memory, or unpacked to a file without a name where it is large and its rows lie one after the other."""
    member = f"{name}.npy" if f"{name}.npy" in stored.zip.namelist() else name
    if stored.zip.getinfo(member).file_size <= pixels.MAX_HELD_BYTES:
        return stored[name]
    with stored.zip.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        if is_fortran or dtype.hasobject or not dtype.isnative or not shape:
            return stored[name]
        return StoredPixels(
            _unpack(file), 0, shape[1:], torch.arange(shape[0]), torch.from_numpy(np.empty(0, dtype)).dtype
        )


def _unpack(file: IO[bytes]) -> FileHandle:
    unpacked = FileHandle.without_name()
    while piece := file.read(PIECE_BYTES):
        unpacked.append(memoryview(piece))
    return unpacked
