"""What made a number, and to which project a copy of it belongs."""

from __future__ import annotations

import subprocess
from importlib.metadata import version

import pytest

from genlib import provenance


@pytest.fixture
def project(tmp_path):
    for words in ("init -q", "-c user.name=a -c user.email=a@b commit -qm one --allow-empty"):
        subprocess.run(["git", "-C", str(tmp_path), *words.split()], check=True)
    return tmp_path


def test_a_worktree_and_the_copy_of_an_experiment_belong_to_the_project(project, monkeypatch):
    subprocess.run(["git", "-C", str(project), "worktree", "add", "-q", str(project / "tree")], check=True)
    copy = project / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(copy)], check=True)
    assert provenance.main_worktree(project) == provenance.main_worktree(project / "tree") == project
    assert provenance.main_worktree(copy) == copy
    monkeypatch.setenv("DVC_EXP_NAME", "lucky-duck")
    monkeypatch.setenv("DVC_ROOT", str(project))
    assert provenance.main_worktree(copy) == project


def test_the_tags_of_an_experiment_name_it(tmp_path, monkeypatch):
    facts = {"stage": "train", "model": "gan", "params_digest": "", "data_sha256": ""}
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    assert "genlib.dvc_experiment" not in provenance.tags(tmp_path, **facts)
    monkeypatch.setenv("DVC_EXP_NAME", "lucky-duck")
    assert provenance.tags(tmp_path, **facts)["genlib.dvc_experiment"] == "lucky-duck"


def test_the_environment_is_what_is_installed():
    comment, *pins = provenance.installed_requirements().splitlines()
    assert comment.startswith("# Python 3.")
    assert {f"{name}=={version(name)}" for name in ("torch", "numpy", "mlflow")} <= set(pins)
    assert pins == sorted(pins, key=str.lower) and len(set(pins)) == len(pins)
