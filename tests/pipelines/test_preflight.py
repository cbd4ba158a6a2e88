"""What the machine lacks is said before anything is written."""

import configparser
import json
import os
import resource
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from genlib.errors import InputError
from pipelines import preflight
from pipelines.preflight import check_cluster, check_machine


@pytest.fixture
def project(tmp_path):
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc/config").write_text("")
    (tmp_path / "runs").mkdir()
    return tmp_path


def has_no_scm(project):
    config = configparser.ConfigParser()
    config.read(project / ".dvc/config.local")
    return config.getboolean("core", "no_scm", fallback=False)


def test_dvc_is_told_whether_there_is_git(project, capsys):
    """The kind of fault: a project outside git (a downloaded zip), and one that comes into git later."""
    check_machine(project)
    assert has_no_scm(project) and "no git here" in capsys.readouterr().out
    check_machine(project)
    assert capsys.readouterr().out == ""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    check_machine(project)
    assert not has_no_scm(project) and capsys.readouterr().out == ""


def test_a_project_within_another_repository_has_its_git(project):
    inner = project / "inner"
    shutil.copytree(project / ".dvc", inner / ".dvc")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    check_machine(inner)
    assert not has_no_scm(inner)


@pytest.mark.parametrize("name", [".", "runs", ".dvc"])
def test_a_folder_that_cannot_be_written_is_refused(project, monkeypatch, name):
    """The kind of fault: a read-only checkout, or a folder of another user. Root may write anywhere, so imitated."""
    refused = project / name
    monkeypatch.setattr(os, "access", lambda path, mode: path != refused)
    with pytest.raises(InputError, match=r"got a folder that cannot be written, expected") as error:
        check_machine(project)
    assert str(error.value).startswith(str(refused.resolve()))


def test_a_full_disk_is_refused(project, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 << 20))
    with pytest.raises(InputError, match="got 5 MiB free on its disk, expected 256 MiB"):
        check_machine(project)


def test_an_address_space_too_small_for_torch_is_refused(project, monkeypatch):
    """The kind of fault: a limit of the shell at which a library ends by a segmentation fault, without a word."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (3000 << 20, resource.RLIM_INFINITY))
    with pytest.raises(InputError, match="ulimit -v: got 3000 MiB of address space, expected 4096 MiB or more"):
        check_machine(project)


def test_a_python_without_dvc_is_refused(project, monkeypatch):
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"dvc: got none in {sys.prefix}"):
        check_machine(project)


def test_locks_of_killed_dvc_processes_are_dropped_and_those_of_living_ones_stay(project):
    """The kind of fault: a PID taken for the process that had it. DVC was killed and its PID is another process's, or
    a zombie's, or the file was cut off."""
    path = project / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    dvc = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc", "repro"])
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    alive, *dead = ({"pid": pid, "cmd": "dvc repro"} for pid in (dvc.pid, os.getpid(), zombie.pid, 2**22))
    locks = {"write": {"a": dead[0], "b": alive}, "read": {"c": dead, "d": [dead[1], alive]}}
    try:
        path.write_text(json.dumps(locks))
        check_machine(project)
    finally:
        dvc.kill()
        dvc.wait()
        zombie.wait()
    assert json.loads(path.read_text()) == {"write": {"b": alive}, "read": {"d": [alive]}}
    for broken in ("", '{"write": {"a"', "[]", '{"write": {"a": 3}}'):
        path.write_text(broken)
        check_machine(project)
        assert json.loads(path.read_text()) == {"write": {}, "read": {}}


def test_a_stale_address_of_a_cluster_is_refused_before_the_work(monkeypatch):
    """The kind of fault: what can be known before the work is said after it."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match=r"RAY_ADDRESS: got '127.0.0.1:1'"):
        check_cluster("runs/ray")
