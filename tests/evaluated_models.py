"""Untrained models with results, as an evaluation leaves them: `from evaluated_models import models as models`."""

import json
from dataclasses import asdict

import pytest
from prepared import SMALL
from untrained_models import write_untrained_model

from genlib.files import file_sha256
from genlib.metrics.result import MetricResult

GOOD = {
    "kid": MetricResult(0.10, 0.08, 0.12, 0.0, 300),
    "frechet": MetricResult(2.0, 1.8, 2.2, 0.5, 300),
    "coverage": MetricResult(0.8, 0.75, 0.85, 0.95, 300),
    "support": MetricResult(400.0, 300.0, 500.0, 500.0, 300),
    "copies": MetricResult(0.01, 0.0, 0.02, 0.0, 300),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained models of 8 x 8 images, as runs/train and runs/evaluate of a project hold them."""
    root = tmp_path_factory.mktemp("project")
    for name in ("gan", "cgan", "classifier", "autoencoder"):
        config = {"name": "cnn_classifier" if name == "classifier" else name, "width": SMALL} | (
            {} if name == "classifier" else {"latent": SMALL}
        )
        write_untrained_model(config, root / "runs/train" / name)
        judged(root, name, GOOD)
    return root


def judged(root, name, measures):
    card = {
        "data": "digits",
        "data_sha256": "d" * 64,
        "judge": {"sha256": "b" * 64},
        "model_sha256": file_sha256(root / "runs/train" / name / "model.safetensors"),
    }
    path = root / "runs/evaluate" / name / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metrics": {key: asdict(each) for key, each in measures.items()}, "card": card}))
