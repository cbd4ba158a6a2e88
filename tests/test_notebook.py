"""docs/notebook.ipynb draws what a real run left in MLflow: its curves, samples, metrics and trials."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from documents import BIN, ROOT
from prepared import digits, job

from genlib.evaluation.evaluator import flatten_results
from genlib.metrics.result import MetricResult
from genlib.tracking.mlflow import publish
from genlib.tracking.run_folder import open_run
from genlib.training.fit import fit

NOTEBOOK = "docs/notebook.ipynb"
MEASURES = {
    "kid": MetricResult(0.125, 0.1, 0.15, null=0.0625, n=9),
    "coverage": MetricResult(0.75, 0.5, 0.875, null=0.96875, n=9),
}
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


def tracked(folder):
    """A GAN that was trained for a moment, its evaluation, and a sweep of two trials, all published."""

    def start(stage):
        tags = {"genlib.stage": stage, "genlib.model": "gan"}
        return open_run(folder, stage, name=f"{stage} gan", experiment="digits", tags=tags, params={})

    with start("train") as train:
        for progress in fit(job("gan", digits(folder / "data"))):
            train.report(progress)
    with start("evaluate") as evaluate:
        evaluate.log(flatten_results(MEASURES), 0)
    with start("tune") as tune:
        for number, rate in enumerate((0.25, 0.5)):
            with tune.start_nested(f"trial-{number}", f"tune gan trial {number}", {"train.lr_g": rate}) as trial:
                trial.log({"kid": rate / 2, "coverage": rate}, 96)
    for run in (train, evaluate, tune):
        assert publish(run.path) == []


def executed(folder):
    """What came of running a copy of the notebook in `folder`."""
    (folder / "docs").mkdir()
    (folder / "params.yaml").touch()
    shutil.copy(ROOT / NOTEBOOK, folder / NOTEBOOK)
    env = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    env |= {"IPYTHONDIR": str(folder), "JUPYTER_PLATFORM_DIRS": "1", "PATH": f"{BIN}{os.pathsep}{env['PATH']}"}
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", NOTEBOOK]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def outputs(folder):
    """The outputs of each cell."""
    done = executed(folder)
    assert done.returncode == 0, done.stderr
    cells = json.loads((folder / NOTEBOOK).read_text())["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


def text(cell):
    return "".join("".join(output.get("data", {}).get("text/plain", "")) for output in cell)


def test_it_draws_all_that_a_run_left(tmp_path):
    tracked(tmp_path)
    _, runs, models, curves, samples, metrics, trials, knobs = outputs(tmp_path)
    assert all(name in text(runs) for name in ("train gan", "evaluate gan", "tune gan trial 1")) and "gan" in text(
        models
    )
    for drawn in (curves, samples, metrics, knobs):
        assert sum("image/png" in output.get("data", {}) for output in drawn) == 1
    assert all(number in text(metrics) for number in ("kid", "0.125", "0.06250", "0.875", "0.96875"))
    assert all(word in text(trials) for word in ("train.lr_g", "0.25", "0.5", "0.125"))
    assert not any(output["output_type"] == "stream" for cell in (runs, samples, trials) for output in cell)


def test_it_is_kept_without_what_it_drew():
    cells = json.loads((ROOT / NOTEBOOK).read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_it_says_where_nothing_was_tracked_and_makes_no_database(tmp_path):
    assert f"got no {tmp_path}/mlflow.db, expected " in executed(tmp_path).stderr
    assert not (tmp_path / "mlflow.db").exists()
