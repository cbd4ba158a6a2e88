"""Images of ../shared/data, where that folder is; tests that ask for them are skipped elsewhere."""

from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"


def read_images(name, n):
    """n test images of `cifar10` or `mnist`, of all classes, uint8 [n, C, H, W]."""
    folder = SHARED / {"cifar10": "cifar10_jpeg", "mnist": "MNIST"}[name]
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    return {"cifar10": _read_cifar10, "mnist": _read_mnist}[name](folder, n)


def _read_cifar10(folder, n):
    import numpy
    from PIL import Image

    from genlib.data.parquet import ParquetImages

    path = next((folder / "data").glob("test-*.parquet"))
    files = list(ParquetImages((path,)))  # class by class
    chosen = files[:: len(files) // n][:n]
    pixels = [numpy.asarray(Image.open(each.open("rb")).convert("RGB")) for each in chosen]
    return torch.from_numpy(numpy.stack(pixels)).permute(0, 3, 1, 2)


def _read_mnist(folder, n):
    with (folder / "raw" / "t10k-images-idx3-ubyte").open("rb") as file:
        data = bytearray(file.read(16 + n * 28 * 28)[16:])
    return torch.frombuffer(data, dtype=torch.uint8).view(n, 1, 28, 28)
