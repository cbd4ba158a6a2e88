"""Stages side by side, by real DVC in a small project: what runs at once and what waits; a failure, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.repro import critical_path_lengths, downstream, stage_output

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
GRAPH = {
    "prepare": [],
    "a": ["prepare"],
    "b": ["prepare"],
    "tuned": ["a"],
    "judged": ["b"],
    "report": ["tuned", "judged"],
}
# A stage waits for its partner's file where it has one, so that it ends only beside it.
STAGE = """
import os, pathlib, sys, time
name, partner = sys.argv[1], sys.argv[2]
print(f"{name}: begun", file=sys.stderr, flush=True)
open("begun.txt", "a").write(name + "\\n")
out = pathlib.Path(name); out.mkdir(exist_ok=True)
pathlib.Path(f"{name}.mark").touch()
until = time.time() + 60
while partner and not pathlib.Path(f"{partner}.mark").exists():
    time.sleep(0.05)
    assert time.time() < until
if pathlib.Path("fail").exists():
    if pathlib.Path("fail").read_text() == name:
        sys.exit("told to fail")
    time.sleep(4 if partner else 0)
(out / "out").write_text(pathlib.Path("input").read_text() + os.environ.get("OMP_NUM_THREADS", ""))
"""
RUN = """
import sys, pathlib
from pipelines import repro
from genlib.errors import run_cli
repro.ROOT = pathlib.Path.cwd()
sys.exit(run_cli(lambda: repro.repro(sys.argv[1])))
"""
ENV = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}


@pytest.fixture
def project(tmp_path):
    """The graph of `GRAPH`, in which `a` and `b` end only beside each other."""
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "input").write_text("1")
    partners = {"a": "b", "b": "a"}
    lines = ["stages:"]
    for name, needs in GRAPH.items():
        lines += [f"  {name}:", f"    cmd: {sys.executable} stage.py {name} '{partners.get(name, '')}'", "    deps:"]
        lines += [f"      - {need}" for need in needs or ["input"]] + ["    outs:", f"      - {name}"]
    (tmp_path / "dvc.yaml").write_text("\n".join(lines))
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, env=ENV, check=True)
    return tmp_path


def run_repro(project, jobs="2"):
    return subprocess.run([sys.executable, "-c", RUN, jobs], cwd=project, env=ENV, capture_output=True, text=True)


def begun(project):
    """The stages that began since the last call."""
    path = project / "begun.txt"
    names = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    for mark in project.glob("*.mark"):
        mark.unlink()
    return names


def test_what_follows_is_stale_too_and_the_longest_way_is_the_most_urgent():
    assert downstream(GRAPH, ["b"]) == ["b", "judged", "report"]
    assert downstream(GRAPH, ["", "elsewhere/dvc.yaml:b"]) == []
    assert critical_path_lengths(GRAPH) == {"prepare": 4, "a": 3, "b": 3, "tuned": 2, "judged": 2, "report": 1}


def test_what_dvc_advises_when_a_stage_is_done_is_left_out():
    lines = [b"Running stage 'a':\n", b"> a\n", b"a: \xff done\n", b"Updating lock file 'dvc.lock'\n", b"git add\n"]
    assert list(stage_output(iter(lines))) == ["Running stage 'a':", "> a", "a: \ufffd done"]


def test_stages_that_do_not_wait_for_each_other_run_at_once_and_only_what_changed_runs_again(project):
    done = run_repro(project)
    assert done.returncode == 0, done.stdout + done.stderr
    names = begun(project)
    assert sorted(names) == sorted(GRAPH) and names[0] == "prepare" and names[-1] == "report"
    assert "git add" not in done.stdout and "a: begun" in done.stdout
    assert (project / "a/out").read_text() == "1" + str(max(1, (os.cpu_count() or 1) // 2))
    done = run_repro(project)
    assert done.stdout.split() == ["every", "stage", "is", "up", "to", "date"] and not begun(project)
    plain = subprocess.run(["dvc", "repro"], cwd=project, env=ENV, capture_output=True, text=True)
    assert plain.returncode == 0 and not begun(project)
    with (project / "stage.py").open("a") as file:
        file.write("# of no stage\n")
    (project / "input").write_text("2")
    assert run_repro(project).returncode == 0 and sorted(begun(project)) == sorted(GRAPH)


def test_after_a_failure_what_runs_ends_and_nothing_begins(project):
    (project / "fail").write_text("a")
    done = run_repro(project)
    assert done.returncode == 1 and "a: " in done.stdout and "told to fail" in done.stdout
    assert done.stderr.splitlines()[-1] == "genlib: a failed, 3 stages were not started"
    assert sorted(begun(project)) == ["a", "b", "prepare"] and (project / "b/out").exists()
    (project / "fail").unlink()
    (project / "b.mark").touch()  # the partner of `a` has been
    assert run_repro(project).returncode == 0 and sorted(begun(project)) == ["a", "judged", "report", "tuned"]


def test_ctrl_c_begins_nothing_and_the_same_command_goes_on(project):
    command = [sys.executable, "-c", RUN, "2"]
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text().replace("stage.py b 'a'", "stage.py b never"))
    with subprocess.Popen(
        command, cwd=project, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while not (project / "b.mark").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in said
    assert "tuned" not in begun(project)
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text().replace("stage.py b never", "stage.py b ''"))
    assert run_repro(project).returncode == 0
    assert begun(project)[-1] == "report"


@pytest.mark.parametrize("jobs", ["0", "-1", "two", ""])
def test_a_number_of_jobs_that_is_none_ends_with_one_line(project, jobs):
    done = run_repro(project, jobs)
    assert (
        done.returncode == 2
        and done.stderr == f"genlib: JOBS: got {jobs!r}, expected how many stages may run at once, 1 or more\n"
    )
    assert not begun(project)
