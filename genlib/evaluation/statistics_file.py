"""Statistics of features in an `.npz`: `mu` [d] and `sigma` [d, d], as pytorch-fid writes them."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile

import torch

from genlib.data.arrays import read_arrays
from genlib.errors import InputError
from genlib.metrics.stats.gaussian import Gaussian

NAMES = {"mu", "sigma"}
EXPECTED = "mu [d] and sigma [d, d], finite floats, as pytorch-fid writes them"


def is_statistics_file(path: Path) -> bool:
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()} >= NAMES
    except (BadZipFile, OSError):  # refused where it is read
        return False


def read_statistics(path: Path) -> Gaussian:
    """Raises InputError where they are not mean and covariance of the same features."""
    arrays = read_arrays(path, NAMES, EXPECTED)
    try:
        mean, covariance = (torch.from_numpy(arrays[name]).double() for name in ("mu", "sigma"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: got arrays that are no statistics, expected {EXPECTED}") from error
    d = len(mean) if mean.ndim == 1 else 0
    found = f"mu {list(mean.shape)} and sigma {list(covariance.shape)}"
    if not d or covariance.shape != (d, d) or not (mean.isfinite().all() and covariance.isfinite().all()):
        raise InputError(f"{path}: got {found}, expected {EXPECTED}")
    return Gaussian(mean, covariance)
