"""MLflow's registry, for real: a champion that gives way only to what is no worse, and serves images over HTTP."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluated_models import GOOD, judged
from evaluated_models import models as models

import genlib
from genlib.cli import main
from genlib.metrics.result import MetricResult

pytestmark = pytest.mark.filterwarnings("ignore")


def told(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_champion_is_made_kept_and_served(models, monkeypatch, capsys):
    import mlflow

    uri = f"sqlite:///{models}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(models)
    assert main(["promote", "cgan", "--json"]) == 0
    first = told(capsys)
    assert first["promoted"] and first["champion_before"] is None
    assert main(["promote", "cgan", "--json"]) == 0
    assert told(capsys)["uri"] == first["uri"]

    judged(models, "gan", GOOD | {"kid": MetricResult(0.9, 0.8, 1.0, 0.0, 300)})
    assert main(["promote", "gan"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and said[0].startswith("refused: kid 0.9")
    client, name = mlflow.MlflowClient(uri), first["uri"].split("/")[1]
    assert str(client.get_model_version_by_alias(name, "champion").version) == "1"
    refused = client.get_model_version(name, "2")
    assert refused.tags["genlib.promoted"] == "false" and refused.tags["genlib.reason.1"].startswith("kid 0.9")

    codes = torch.randn(5, 4)
    given = torch.cat([codes, torch.arange(5.0)[:, None]], 1)
    with torch.no_grad():
        wanted = genlib.load("runs/train/cgan").decode_image(codes, torch.arange(5)).numpy()
    np.testing.assert_allclose(served(uri, f"models:/{name}@champion", given.tolist()), wanted, atol=1e-5)

    judged(models, "gan", GOOD)
    assert main(["promote", "gan"]) == 0
    assert str(client.get_model_version_by_alias(name, "champion").version) == "2"
    assert "genlib.reason.1" not in client.get_model_version(name, "2").tags


def served(uri, model, rows):
    """What `mlflow models serve` answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("mlflow"))
    command = [program, "models", "serve", "-m", model, "--env-manager", "local", "--host", "127.0.0.1"]
    env = os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with Path("served.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(900):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, Path("served.log").read_text()
            time.sleep(0.2)
        body = json.dumps({"inputs": rows}).encode()
        address, kind = f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(address, body, kind), timeout=120) as answer:
            return np.array(json.load(answer)["predictions"])
    finally:
        os.killpg(process.pid, 15)
        process.wait()
