"""A project of prepared digits and untrained models: `from untrained_models import project as project`."""

import json

import pytest
import torch
from prepared import digits
from safetensors.torch import save_file

from genlib.registry import build, default_options

MODELS = {name: {"name": name, "width": 4, "latent": 4} for name in ("vae", "cvae", "gan")} | {
    "classifier": {"name": "cnn_classifier", "width": 4}
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Prepared digits, and folders of untrained models of them."""
    root = tmp_path_factory.mktemp("project")
    digits(root / "data")
    for name, config in MODELS.items():
        write_untrained_model(config, root / name)
    return root


def write_untrained_model(config, folder):
    """A model of 8 x 8 digits as a train stage writes it: with the values of all options."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    options = default_options("models", config["name"]) | config
    save_file(build("models", options, (1, 8, 8), 10).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model": options, "shape": [1, 8, 8], "classes": 10}))
