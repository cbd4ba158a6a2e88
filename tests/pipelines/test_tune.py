"""The sweep as a command: interrupted, killed, called again, with limits that nothing meets, and what it leaves."""

import json
import signal
import time

import pandas as pd
import pytest
from prepared import digits
from ruamel.yaml import YAML
from safetensors.torch import load_file
from stage_process import start

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
PARAMS = """
data: {name: digits}
models:
  classifier:
    model: {name: cnn_classifier, width: 8}
    objective: {name: classification}
    train: {total_images: 4000, report_every: 2000, batch_size: 50}
  vae:
    model: {name: vae, latent: 4, width: 4}
    objective: {name: elbo}
    train: {total_images: 4000, report_every: 2000, batch_size: 50, lr: 2.0e-3, ema: 0.9}
    search_space: {train.lr: {loguniform: [1.0e-4, 1.0e-2]}}
tune: {models: [vae], trials: 4, images_per_trial: 18000, searcher: random_no_pruning, constraints: {coverage: 1.5}}
evaluate: {samples: 200, metrics: [kid]}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A project whose sweep was interrupted after its first trial, killed after another, and called again; what it said
    then."""
    project = tmp_path_factory.mktemp("swept")
    (project / "params.yaml").write_text(PARAMS)
    digits(project / "data" / "prepared")
    for model in ("classifier", "vae"):
        _, errors = (process := start(project, "train", model)).communicate()
        assert process.returncode == 0, errors

    for how, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        before = ended(project)
        process = start(project, "tune", "vae")
        while not ended(project) > before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(how)
        _, errors = process.communicate()
        assert process.returncode == code, errors
        assert ("goes on from the last checkpoint" in errors) == (how == signal.SIGINT)
        assert not (project / "runs/tune/vae").exists()

    before = ended(project)
    process = start(project, "tune", "vae")
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    return project, before, said + errors


def ended(project):
    """The knobs and seconds of the trials that the book says are finished."""
    books = list((project / "runs/ray/tune-vae").glob("*/trials/trial_log.json"))
    trials = json.loads(books[0].read_text())["trials"].values() if books else []
    return {
        (trial["hyperparameters"]["train.lr"], trial["seconds"]) for trial in trials if trial["status"] == "finished"
    }


def test_no_trial_that_ended_is_repeated(swept):
    project, before, said = swept
    rows = pd.read_csv(project / "runs/tune/vae/trials.csv")
    assert len(before) >= 2
    assert len(rows) == 4 and set(rows.status) == {"finished"} and set(rows.images_seen) == {18000}
    again = dict(zip(rows["train.lr"], rows.seconds, strict=True))
    assert all(again[lr] == round(seconds, 1) for lr, seconds in before)
    assert rows["train.lr"][0] == 2e-3 and "4 of 4 done" in said


def test_limits_that_nothing_meets_are_said_and_the_default_stays(swept):
    project, _, said = swept
    assert "tune vae: no trial ends with coverage at least " in said
    rows = pd.read_csv(project / "runs/tune/vae/trials.csv")
    assert not rows.feasible.any() and not rows.winner.any() and not rows.front.any()
    best = YAML(typ="safe").load(project / "runs/tune/vae/best.yaml")
    assert best == {"models": {"vae": {"train": {"lr": 2e-3}}}}
    default, tuned, trained = (
        load_file(project / f"runs/{place}/model.safetensors")
        for place in ("tune/vae/default/0", "tune/vae/tuned/0", "train/vae")
    )
    assert all((default[key] == tuned[key]).all() and (default[key] == trained[key]).all() for key in trained)
    assert not list((project / "runs/ray").glob("tune-vae")), "state of a finished sweep is left"


def test_every_trial_is_one_run_with_every_report_once(swept):
    import mlflow

    project, _, _ = swept
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{project}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    trials = {run.info.run_name: run for run in runs if "genlib.status" in run.data.tags}
    assert set(trials) == {f"tune vae trial {number}" for number in range(4)}
    for run in trials.values():
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "kid")]
        assert steps == [2000 * report for report in range(1, 10)]
        assert run.data.tags["genlib.status"] == "finished" and run.data.tags["genlib.feasible"] == "false"
        assert run.data.tags["mlflow.parentRunId"]
