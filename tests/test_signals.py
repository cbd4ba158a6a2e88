"""Ctrl-C of what Ray runs: one that Python drops is raised again, and afterwards all is as before."""

import os
import signal
import threading
import time

import pytest

from genlib.signals import repeated_keyboard_interrupt


class Drops:
    """Is interrupted while it is finalised, where Python drops the exception."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_dropped_is_raised_again():
    with pytest.raises(KeyboardInterrupt), repeated_keyboard_interrupt(interval_s=0.1):
        Drops()
        for _ in range(100):
            time.sleep(0.05)
        raise AssertionError("never raised again")


def test_afterwards_all_is_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)]
    with pytest.raises(KeyboardInterrupt), repeated_keyboard_interrupt(interval_s=60.0):
        assert signal.getsignal(signal.SIGINT) is not before[0]
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)] == before


def test_a_thread_that_hears_of_no_signals_runs_the_block():
    ran = []

    def body():
        with repeated_keyboard_interrupt():
            ran.append(True)

    (thread := threading.Thread(target=body)).start()
    thread.join()
    assert ran == [True]
