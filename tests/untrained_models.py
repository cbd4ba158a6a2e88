"""A project of prepared digits and untrained models: `from untrained_models import project as project`."""

import json

import pytest
import torch
from prepared import digits
from safetensors.torch import save_file

from genlib.registry import build

MODELS = {name: {"name": name, "width": 4, "latent": 4} for name in ("vae", "cvae", "gan")} | {
    "classifier": {"name": "cnn_classifier", "width": 4}
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Prepared digits, and folders of untrained models of them."""
    root = tmp_path_factory.mktemp("project")
    digits(root / "data")
    for name, config in MODELS.items():
        torch.manual_seed(0)
        folder = root / name
        folder.mkdir()
        save_file(build("models", config, (1, 8, 8), 10).state_dict(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"model": config, "shape": [1, 8, 8], "classes": 10}))
    return root
