"""Weights from local files: a state_dict in a .pth or .safetensors file. Only tensors are unpickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from genlib.errors import InputError, one_line
from genlib.evaluation.extractors.image_network import ImageNetwork
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.vision_transformer import (
    Renaming,
    Variant,
    VisionTransformer,
    build_transformer,
    rename_weights,
)
from genlib.files import file_sha256

EXPECTED = "a state_dict in a .pth or .safetensors file"
CONVERSION = "torch.save(torch.jit.load(FILE, map_location='cpu').state_dict(), 'weights.pth')"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Raises InputError where there is no such file, or it holds anything but tensors by name."""
    if path == Path():
        raise InputError(f"--extractor: got no file of weights, expected NAME:FILE, {EXPECTED}")
    if not path.is_file():
        raise InputError(f"--extractor: got no file {path}, expected {EXPECTED}")
    if _is_torchscript(path):
        found = "TorchScript, which is code"
        raise InputError(f"{path}: got {found}, expected its state_dict; if you trust it: {CONVERSION}")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unzipping, unpickling and torch each have their own
        raise InputError(f"{path}: got a file that cannot be read ({one_line(error)}), expected {EXPECTED}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: got a {type(found).__name__} that is not of tensors alone, expected {EXPECTED}")
    return found


def _is_torchscript(path: Path) -> bool:
    """Whether it is an archive with code and constants, as torch.jit writes it."""
    try:
        names = ZipFile(path).namelist() if is_zipfile(path) else []
    except Exception:  # a broken archive, which is refused where it is read
        return False
    return any(name.endswith("/constants.pkl") for name in names)


def fill_network(network: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str, expected: str) -> None:
    """Raises InputError where `weights`, of the file `path`, are not those of the network called `name`."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = f"got other weights than those of {name} ({one_line(error)})"
        raise InputError(f"{path}: {reason}, expected {expected}") from error


def name_extractor(network: ImageNetwork, name: str, layer: str, path: Path) -> NamedExtractor:
    """With the hash of the file of its weights on its card."""
    facts: dict[str, Any] = {"weights": path.name, "sha256": file_sha256(path), "resize": network.resize.extra_repr()}
    return NamedExtractor(network.eval(), name, layer, extra=facts)


def load_transformer(
    path: Path, renamings: Mapping[str, Renaming], variant: Variant, name: str, expected: str
) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """The transformer of the file, and further tensors of it under our names. `renamings`: by a name that tells whose
    state_dict it is. Raises InputError where it is none of these."""
    weights = read_state_dict(path)
    whose = next((renaming for key, renaming in renamings.items() if key in weights), None)
    if whose is None:
        raise InputError(f"{path}: got other weights than those of {name}, expected {expected}")
    named = rename_weights(weights, whose)
    further = {key: named.pop(key) for key in list(named) if key.startswith("projection")}
    try:
        network = build_transformer(named, variant)
    except (KeyError, ValueError) as error:
        reason = f"got other weights than those of {name} ({one_line(error)})"
        raise InputError(f"{path}: {reason}, expected {expected}") from error
    fill_network(network, named, path, name, expected)
    return network, further
