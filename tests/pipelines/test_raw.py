"""The raw data are a dependency: real DVC, with a small project of two stages and a clone that has no raw data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from image_files import classes, picture

ROOT = Path(__file__).parents[2]
PARAMS = """
data: {name: folder, root: flowers, image_size: auto}
models: {vae: {model: {name: vae, width: 4}, objective: {name: elbo}}}
evaluate: {metrics: [kid]}
"""
ENV = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",  # where nothing answers
}
UP_TO_DATE = "every stage is up to date"


def run(project, *command, code=0):
    done = subprocess.run(command, cwd=project, env=ENV, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def repro(project):
    return run(project, sys.executable, "-m", "pipelines.repro", "2")


def check(project, *values, code=0):
    return run(project, sys.executable, "-m", "pipelines.check", "--set", *values, code=code)


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Both stages done."""
    root = tmp_path_factory.mktemp("project")
    classes(root / "flowers", count=6, mode="RGB", size=(12, 11))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    prepare = {**stages["prepare"], "deps": ["data/raw.json"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"raw": stages["raw"], "prepare": prepare}}))
    (root / "params.yaml").write_text(PARAMS)
    run(root, "dvc", "init", "--no-scm", "--quiet")
    assert "raw: " in repro(root)
    return root


def test_the_hash_of_the_raw_data_is_noted_with_the_prepared_ones(project):
    info, raw = read_json(project / "data/prepared/dataset.json"), read_json(project / "data/raw.json")
    assert info["raw_sha256"] == raw["sha256"] and (info["name"], info["image_size"]) == ("flowers", 8)
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    assert lock["prepare"]["deps"][0]["md5"] == lock["raw"]["outs"][0]["md5"]
    [header] = (read_json(path) for path in (project / ".genlib/runs").glob("prepare-*/run.json"))
    assert header["experiment"] == "flowers" and header["tags"]["genlib.raw_sha256"] == raw["sha256"]


def test_only_a_change_of_a_file_makes_prepare_stale(project):
    prepared = project / "data/prepared/dataset.json"
    os.utime(project / "flowers/cat/1.png")
    before = prepared.stat().st_mtime_ns
    assert repro(project).splitlines() == [UP_TO_DATE]
    assert "Stage 'prepare' didn't change, skipping" in run(project, "dvc", "repro")
    assert prepared.stat().st_mtime_ns == before
    picture(project / "flowers/cat/new.png", "RGB", size=(12, 11))
    assert "'train': 9" in repro(project) and repro(project).splitlines() == [UP_TO_DATE]
    (project / "flowers/cat/new.png").unlink()
    assert "Stage 'prepare' is cached - skipping run, checking out outputs" in run(project, "dvc", "repro")
    assert repro(project).splitlines() == [UP_TO_DATE]


def test_a_clone_without_raw_data_pulls_and_runs_nothing(project, tmp_path):
    run(project, "dvc", "remote", "add", "--local", "--force", "--default", "team", str(tmp_path / "remote"))
    run(project, "dvc", "push", "--quiet")
    clone = tmp_path / "clone"
    shutil.copytree(
        project, clone, ignore=shutil.ignore_patterns("flowers", "prepared", "raw.json", "cache", "tmp", ".genlib")
    )
    missing = "data.root: got no folder flowers, expected a folder of files ending in"
    assert missing in check(clone, code=2)
    run(clone, "dvc", "pull", "--quiet")
    lines = check(clone).splitlines()
    assert len(lines) == 1 and missing in lines[0] and lines[0].endswith("; the prepared data stay as they were pulled")
    said = repro(clone).splitlines()
    assert (
        len(said) == 2 and missing in said[0] and said[0].endswith("; what was pulled stays") and said[1] == UP_TO_DATE
    )
    assert "Stage 'prepare' didn't change, skipping" in run(clone, "dvc", "repro")
    for other in ("data.image_size=16", "data.root=elsewhere"):
        refused = check(clone, other, code=2)
        assert refused.startswith("genlib: data.root: got no folder") and refused.count("\n") == 1
    assert read_json(clone / "data/raw.json") == read_json(project / "data/raw.json")


def test_what_was_prepared_without_dvc_stands_for_no_pulled_data(project, tmp_path):
    """dvc.lock knows the raw data and not the stage `prepare`, which was run by hand."""
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("flowers"))
    lock = yaml.safe_load((copy / "dvc.lock").read_text())
    del lock["stages"]["prepare"]
    (copy / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert check(copy, code=2).splitlines()[-1].startswith("genlib: data.root: got no folder flowers")
