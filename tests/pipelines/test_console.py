"""What a person sees of a long stage, and what a person may do to it."""

import os
import signal
import time

import pytest

from genlib.training.loop import Progress
from pipelines import console as console_module
from pipelines.console import open_console


class Finalised:
    """Interrupts the program while it is being finalised, where Python drops exceptions."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


@pytest.fixture
def handlers():
    """They are put back."""
    numbers = (signal.SIGINT, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_first_interrupt_is_a_wish_and_the_second_ends_what_is_under_way(handlers, capfd):
    with open_console("train gan") as console:
        assert not console.should_stop()
        os.kill(os.getpid(), signal.SIGINT)
        console.show_progress(Progress(5, 10, {}))
        assert console.should_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert "train gan: saving at the next report; Ctrl-C again ends at once\n" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_waiting_for_the_next_report_ends_even_where_a_finaliser_swallows_an_interrupt(handlers, monkeypatch):
    monkeypatch.setattr(console_module, "STOP_TIMEOUT_S", 0.2)
    with pytest.raises(KeyboardInterrupt), open_console("train gan"):
        os.kill(os.getpid(), signal.SIGINT)
        Finalised()
        time.sleep(10)


def test_plain_lines_say_how_far_and_how_long(capsys):
    with open_console("train gan") as console:
        console.show_progress(Progress(10, 10, {"loss_d": 0.5}))
    assert "train gan: 10 of 10 images" in capsys.readouterr().err


def test_a_run_that_had_come_to_its_end_says_so(capsys):
    with open_console("train gan") as console:
        console.show_progress(Progress(10, 10, {"loss_d": 0.5}, resumed=True))
    assert "train gan: resumed at 10 images, its end; nothing is left to train\n" in capsys.readouterr().err
