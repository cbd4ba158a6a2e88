"""A job on two nodes, each a Ray of its own on this machine: by address alone, from a checkout of its own."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from faults.cluster import QUIET, Cluster, start, until
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.long
SET = (
    "models.classifier.train.workers=2",
    "models.classifier.train.total_images=6000",
    "models.classifier.model.width=8",
    "train.report_every=1000",
    "train.checkpoint_every=2000",
)


def run(project, *command, **env):
    env = os.environ | QUIET | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | env
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)


def python(project, *module, **env):
    return run(project, sys.executable, "-m", *module, PYTHONPATH=str(project), **env)


@pytest.fixture(scope="module")
def cluster():
    made = Cluster(nodes=2, dashboard=True)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone with one small model."""
    folder = tmp_path_factory.mktemp("submit")
    clone, storage = folder / "clone", folder / "storage"
    files = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    storage.mkdir()
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -qm begun"):
        assert run(clone, "git", *command.split()).returncode == 0
    checked = python(clone, "pipelines.check", "--set", *SET, f"ray.storage_path={storage}")
    assert checked.returncode == 0, checked.stderr
    return clone


def weights(project):
    return load_file(project / "runs/train/classifier/model.safetensors")


def test_a_job_on_two_nodes_brings_its_results_back(project, cluster):
    address = f"http://127.0.0.1:{cluster.jobs}"
    far = python(project, "pipelines.submit", address, "--stage", "train@classifier")
    assert far.returncode == 0, far.stdout + far.stderr
    assert "of 6,000 images" in far.stdout and "2 workers asked" not in far.stdout
    assert run(project, "dvc", "status", "train@classifier").stdout.strip() == "Data and pipelines are up to date."


def test_a_stage_joins_a_cluster_by_its_address(project, cluster):
    theirs = weights(project)
    joined = python(
        project, "pipelines.train", "classifier", RAY_ADDRESS=cluster.address, MLFLOW_TRACKING_URI="http://127.0.0.1:9"
    )
    assert joined.returncode == 0, joined.stderr
    mine = weights(project)
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_stopped_job_keeps_what_it_did_and_the_next_goes_on(project, cluster, tmp_path):
    """The kind of fault: the end of a job by a signal loses what had ended, what is tracked, and its checkpoints, and
    leaves its folder on the head."""
    address = f"http://127.0.0.1:{cluster.jobs}"
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("total_images: 6000", "total_images: 400000"))
    command = [sys.executable, "-m", "pipelines.submit", address, "--stage", "train@classifier"]
    log = tmp_path / "log"
    submitted = start(command, log, cwd=project, PYTHONPATH=str(project))
    until(lambda: re.search(r"of 400,000 images", log.read_text()) or submitted.poll() is not None, 300, "training")
    name = re.search(r"ray job stop --address \S+ (\S+)`", log.read_text())[1]
    assert run(project, "ray", "job", "stop", "--address", address, name).returncode == 0
    assert submitted.wait(300) == 1, log.read_text()
    assert f"job {name} stopped" in log.read_text() and "Traceback" not in log.read_text()
    assert not list(Path(tempfile.gettempdir()).glob("genlib-*/genlib"))
    assert list(project.glob(f".genlib/runs/train-classifier-*-{name}-1/run.json"))
    again = start(command, tmp_path / "again", cwd=project, PYTHONPATH=str(project))
    until(lambda: ", resumed at " in (tmp_path / "again").read_text() or again.poll() is not None, 300, "training")
    assert ", resumed at " in (tmp_path / "again").read_text(), (tmp_path / "again").read_text()
    run(project, "ray", "job", "stop", "--address", address, name)
    again.wait(300)


@pytest.mark.parametrize(
    ("address", "named"), [("127.0.0.1:8265", "not an address"), ("http://127.0.0.1:9", "ADDRESS: got")]
)
def test_a_wrong_address_is_one_line(project, address, named):
    done = python(project, "pipelines.submit", address)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_a_token_that_is_not_the_heads_is_refused(project, cluster):
    other = {"RAY_AUTH_TOKEN": "f" * 64}
    done = python(project, "pipelines.submit", f"http://127.0.0.1:{cluster.jobs}", **other)
    assert done.returncode == 2 and "token" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    joined = python(project, "pipelines.train", "classifier", RAY_ADDRESS=cluster.address, **other)
    assert joined.returncode == 2 and "Traceback" not in joined.stderr, joined.stderr


def test_a_storage_that_the_head_does_not_see_is_refused(project):
    params = project / "params.yaml"
    kept = params.read_text()
    params.write_text(re.sub("storage_path: .*", "storage_path: runs/ray", kept))
    try:
        done = python(project, "pipelines.submit", "http://127.0.0.1:9")
    finally:
        params.write_text(kept)
    assert done.returncode == 2
    assert done.stderr.startswith("genlib: params.yaml: ray.storage_path: got 'runs/ray', expected for a job:")
