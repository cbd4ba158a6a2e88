"""`make setup` on odd machines: stand-ins for Python and uv write down how they are called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ("Makefile", "pyproject.toml", *(path.name for path in ROOT.glob("requirements*.lock")))
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""
PYTHON = """#!/bin/sh
case "$*" in
*version_info*) exit ${TOO_OLD:-0} ;;
--version) echo Python 3.9.1 ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$TOOLS"/tool .venv/bin/python && cp "$TOOLS"/tool .venv/bin/uv ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "my project é"
    folder.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name, text in {"tool": TOOL, "python": PYTHON}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return folder


def make(project, target, *variables, **env):
    """Exit code, what was called, what was printed."""
    tools = project.parent
    calls = tools / "calls"
    calls.write_text("")
    env = {"PATH": os.environ["PATH"], "TOOLS": str(tools), "CALLS": str(calls), **env}
    command = ["make", "--no-print-directory", target, f"PYTHON={tools / 'python'}", *variables]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    return done.returncode, calls.read_text().splitlines(), done.stdout + done.stderr


def test_a_path_with_spaces_is_set_up_once(project):
    code, calls, printed = make(project, "setup")
    assert code == 0 and printed == "setup: installing the locked versions into .venv\n"
    assert [call.split()[0] for call in calls] == ["python", "uv", "uv"]
    assert "--require-hashes -r requirements-uv.lock" in calls[0] and "-r requirements.lock" in calls[1]
    assert not [path for path in project.parent.iterdir() if path.name == "my"]
    assert make(project, "setup")[1] == []


def test_the_tests_add_the_development_lock_and_a_run_does_not(project):
    make(project, "setup")
    code, calls, _ = make(project, "setup-dev")
    assert code == 0 and len(calls) == 1 and "--require-hashes --compile-bytecode -r requirements-dev.lock" in calls[0]
    assert make(project, "setup")[1] == make(project, "setup-dev")[1] == []


def test_a_folder_that_moved_is_set_up_anew(project):
    """The kind of fault: programs of .venv name the Python of the old place, and installing again leaves them so."""
    make(project, "setup")
    (project / ".venv" / "of the old place").touch()
    moved = project.rename(project.with_name("moved"))
    code, calls, printed = make(moved, "setup")
    assert code == 0 and len(calls) == 3 and "has moved" in printed
    assert not (moved / ".venv" / "of the old place").exists() and make(moved, "setup")[1] == []


def test_a_changed_lock_is_installed_and_nothing_made_anew(project):
    make(project, "setup")
    (project / ".venv" / "kept").touch()
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert len(make(project, "setup")[1]) == 3 and (project / ".venv" / "kept").exists()


def test_an_old_python_is_refused(project):
    code, calls, printed = make(project, "setup", TOO_OLD="1")
    assert code == 2 and calls == []
    assert printed.startswith("PYTHON: got Python 3.9.1, expected 3.11 or later (make setup PYTHON=python3.12)\n")
    assert not (project / ".venv").exists()


def test_every_locked_version_has_a_hash():
    for name in ("requirements", "requirements-dev", "requirements-uv"):
        entries = (ROOT / f"{name}.lock").read_text().replace("\\\n", "").splitlines()
        assert entries and all("==" in entry and "--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("data", ["photos", "my photos", "it's", 'a "b"', "a$b", "$(HOME)", "é; exit 3", ""])
def test_a_folder_of_any_name_reaches_the_check_whole(project, data):
    make(project, "setup")
    code, calls, _ = make(project, "repro", f"DATA={data}", "SET=train.seed=1 train.ema=0.9")
    assert (
        code == 0 and calls[0] == f"python -m pipelines.check --data {data} --preset  --set train.seed=1 train.ema=0.9"
    )
    assert calls[1] == "python -m pipelines.repro 2"
