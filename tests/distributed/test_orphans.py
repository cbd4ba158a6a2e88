"""Whose process is whose: what a dead driver left is ended, what a living one has is left alone."""

import os
import signal
import subprocess
import sys
import time

import psutil

from genlib.distributed.orphans import DRIVER_ENV, end_orphans, tag_children

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
