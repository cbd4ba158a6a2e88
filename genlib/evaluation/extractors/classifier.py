"""A folder of a classifier that was trained here: it alone knows the classes of the data."""

import json
from pathlib import Path

from genlib.errors import InputError
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.files import file_sha256
from genlib.registry import load


def load_classifier(folder: Path) -> NamedExtractor:
    """Raises InputError where the folder holds no model, or none that classifies images."""
    network = load(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not hasattr(network, "features"):
        raise InputError(f"{folder}: got a model that does not classify, expected a classifier's folder")
    extra = {"sha256": file_sha256(folder / "model.safetensors")}
    shape = tuple(config["shape"])
    return NamedExtractor(network, folder.resolve().name, "features", config["classes"], extra, shape)
