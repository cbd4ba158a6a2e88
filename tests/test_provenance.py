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


def test_a_subfolder_of_a_repository_keeps_its_own_runs(project):
    """Places of a checkout: runs of a project inside another repository lay unignored in the outer one (dvc#9829)."""
    (project / "inner").mkdir()
    (project / "inner/file").touch()
    subprocess.run(["git", "-C", str(project), "add", "."], check=True)
    subprocess.run(
        ["git", "-C", str(project), *["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "two"]], check=True
    )
    subprocess.run(["git", "-C", str(project), "worktree", "add", "-q", str(project / "tree")], check=True)
    assert provenance.main_worktree(project / "inner") == project / "inner"
    assert provenance.main_worktree(project / "tree/inner") == project / "inner"
    (project / "tree/new").mkdir()
    assert provenance.main_worktree(project / "tree/new") == project / "tree/new"


@pytest.mark.parametrize("folder", ["", "inner"])
def test_a_checkout_of_another_user_is_never_called_clean(project, folder, monkeypatch, capsys):
    """Owners of a checkout: in a volume of Docker runs were tagged with no commit, and as clean (git-fame#81)."""
    from genlib.commands import doctor

    head = provenance.commit(project)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")
    monkeypatch.setattr(provenance, "SAFE_DIRECTORY_FIXES", [])
    (project / "inner").mkdir()
    found = {provenance.commit(project / folder), provenance.dirty(project / folder)}
    assert found == ({"unknown"} if folder else {head, "false"})
    said = capsys.readouterr().err
    assert said.count("safe.directory") == bool(folder) == said.count("\n")
    monkeypatch.chdir(project / folder)
    assert ("safe.directory" in next(doctor.check_git()).fix) == bool(folder)


def test_outside_git_nothing_is_known(tmp_path, monkeypatch):
    """Kinds of checkouts: a downloaded zip has no commit, and was called clean."""
    for name in ("GENLIB_COMMIT", "GENLIB_DIRTY"):
        monkeypatch.delenv(name, raising=False)
    assert provenance.commit(tmp_path) == provenance.dirty(tmp_path) == "unknown"
    monkeypatch.setenv("GENLIB_DIRTY", "true")
    assert provenance.dirty(tmp_path) == "true"


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
