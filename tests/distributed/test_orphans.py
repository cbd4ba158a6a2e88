"""Whose process is whose: what a dead driver left is ended, what a living one has is left alone."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from genlib.distributed.orphans import DRIVER_ENV, driver_folder, driver_mark, end_orphans, is_gone, tag_children

DRIVER = """
import subprocess, sys, time
from genlib.distributed.orphans import tag_children
tag_children()
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


def test_what_a_killed_driver_left_is_ended_and_nothing_else():
    before = os.environ.get(DRIVER_ENV)
    tag_children()
    mine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True)
    try:
        left = int(driver.stdout.readline())
        assert left not in end_orphans() and psutil.pid_exists(left)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        assert psutil.Process(left).status() != psutil.STATUS_ZOMBIE
        assert left in end_orphans()
        deadline = time.monotonic() + 10
        while psutil.pid_exists(left) and psutil.Process(left).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert mine.poll() is None
    finally:
        for process in (mine, driver):
            process.kill()
            process.communicate()
        os.environ.pop(DRIVER_ENV) if before is None else os.environ.update({DRIVER_ENV: before})


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({1: "pid:[4026530000]", 2: "999999"}, False),
        ({0: "00000000-0000-0000-0000-000000000000"}, True),
        ({3: "1"}, True),
        ({2: "999999999"}, True),
    ],
    ids=["itself", "another container", "before a reboot", "a reused PID", "ended"],
)
def test_a_driver_is_known_by_boot_namespace_and_ticks(changes, gone):
    """Kind: a process identified by what others may have as well. A run in a container was killed from its host, and
    any run after a step of the clock (NTP, a resumed VM)."""
    facts = dict(enumerate(driver_mark().split())) | changes
    assert is_gone(" ".join(facts.values())) is gone


@pytest.mark.parametrize("mark", ["", "1234-1700000000.0", "of another program"])
def test_a_mark_of_an_older_version_ends_nothing(mark):
    assert not is_gone(mark)


def test_the_folder_of_a_killed_driver_is_removed_by_the_next(tmp_path):
    """Kind: what a killed process leaves lies there for ever (sessions of Ray in /tmp, the project of a job)."""
    with driver_folder(tmp_path) as alive, driver_folder(tmp_path) as killed:
        assert alive.stat().st_mode & 0o077 == 0
        (killed / "driver").write_text(" ".join([*driver_mark().split()[:3], "1"]))
        with driver_folder(tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([alive, own])
    assert not list(tmp_path.iterdir())
