"""Stages as commands: interrupted and called again, with a silent tracking server, on a full disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prepared import digits
from safetensors.torch import load_file
from stage_process import start

from genlib.training.checkpoints import latest_checkpoint

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
PARAMS = """
data: {name: digits}
models:
  classifier:
    model: {name: cnn_classifier, width: 8}
    objective: {name: classification}
    train: {total_images: 24000, report_every: 1000, checkpoint_every: 2000, batch_size: 50}
evaluate: {metrics: [accuracy]}
"""
UNTRACKED = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}  # where nothing answers


def begun(folder):
    """A folder with params, prepared data and nothing else."""
    (folder / "params.yaml").write_text(PARAMS)
    digits(folder / "data" / "prepared")
    return folder


@pytest.fixture
def project(tmp_path):
    return begun(tmp_path)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A project that was trained undisturbed."""
    folder = begun(tmp_path_factory.mktemp("calm"))
    _, errors = (process := start(folder, "train", "classifier", **UNTRACKED)).communicate()
    assert process.returncode == 0, errors
    return folder


def weights(project):
    return load_file(project / "runs/train/classifier/model.safetensors")


def test_an_interrupted_stage_goes_on_from_its_last_checkpoint(project, calm):
    process = start(project, "train", "classifier")
    checkpoints = project / ".genlib/state/train/classifier"
    while not list(checkpoints.glob("*/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    _, errors = process.communicate()  # ends with the publisher, which the stage does not wait for
    assert "goes on from the last checkpoint" in errors
    assert "saving at the next report" in errors
    assert latest_checkpoint(next(checkpoints.iterdir())).images_seen == points(project)[-1]
    assert not (project / "runs/train/classifier").exists()

    process = start(project, "train", "classifier")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "resumed at" in errors
    mine, other = weights(project), weights(calm)
    assert all((mine[key] == other[key]).all() for key in mine)
    histories = [(folder / "runs/train/classifier/history.tsv").read_text() for folder in (project, calm)]
    assert histories[0] == histories[1]
    assert not checkpoints.exists()
    assert points(project) == list(range(1000, 25000, 1000)), errors


def points(project):
    """The steps at which MLflow holds the loss of the one training run."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{project}/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    return [point.step for point in client.get_metric_history(run.info.run_id, "loss")]


def test_every_seed_goes_on_from_its_own_state_after_a_kill(project, calm):
    """The first of two seeds is trained, the second is killed; called again, the first is as if trained alone."""
    params = (project / "params.yaml").read_text().replace("batch_size: 50", "batch_size: 50, seeds: 2")
    (project / "params.yaml").write_text(params)
    states, out = project / ".genlib/state/train/classifier", project / "runs/train/classifier"
    process = start(project, "train", "classifier", **UNTRACKED)
    while len([each for each in states.glob("*") if list(each.glob("*.safetensors"))]) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert (out / "model.safetensors").exists() and not (out / "seeds").exists()
    _, errors = (process := start(project, "train", "classifier", **UNTRACKED)).communicate()
    assert process.returncode == 0, errors
    first, other = weights(project), load_file(out / "seeds/1/model.safetensors")
    assert all((first[key] == weight).all() for key, weight in weights(calm).items())
    assert any((first[key] != other[key]).any() for key in first)
    assert errors.count("resumed at") >= 1 and not states.exists()
    assert len(list((project / ".genlib/runs").glob("train-classifier-*"))) == 2  # a run of each seed


def test_training_that_diverges_ends_with_one_line(project):
    params = (project / "params.yaml").read_text().replace("total_images: 24000", "lr: 1.0e+30, total_images: 24000")
    (project / "params.yaml").write_text(params)
    process = start(project, "train", "classifier", **UNTRACKED)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "training diverged" in errors
    assert "Traceback" not in errors
    assert not (project / "runs/train/classifier").exists()


def test_a_silent_tracking_server_costs_one_line(project):
    process = start(project, "prepare", **UNTRACKED)
    _, errors = process.communicate()
    assert process.returncode == 0
    assert "does not answer" in errors
    assert errors.count("\n") == 1
    assert list((project / ".genlib/runs").glob("prepare-*/run.json"))


def test_a_full_disk_ends_with_one_line_and_keeps_what_was_there(project):
    before = json.loads((project / "data/prepared/dataset.json").read_text())
    code = """
import errno, sys, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv = ["prepare"]
import runpy
runpy.run_module("pipelines.prepare", run_name="__main__")
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "data/prepared" in done.stderr
    assert done.stderr.count("\n") == 1
    assert json.loads((project / "data/prepared/dataset.json").read_text()) == before
