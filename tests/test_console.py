"""What a person sees of a long stage, and what a person may do to it."""

import os
import signal

import pytest

from genlib.training.loop import Progress
from pipelines.console import Console


class Finalised:
    """Interrupts the program while it is being finalised, where Python drops exceptions."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


@pytest.mark.filterwarnings("ignore")
def test_an_interrupt_that_a_finaliser_swallows_is_raised_at_the_next_report():
    before = signal.getsignal(signal.SIGINT)
    with Console("train gan") as console:
        console.show(Progress(0, 10, {}))
        Finalised()
        with pytest.raises(KeyboardInterrupt):
            console.show(Progress(5, 10, {}))
    assert signal.getsignal(signal.SIGINT) == before


def test_plain_lines_say_how_far_and_how_long(capsys):
    with Console("train gan") as console:
        console.show(Progress(10, 10, {"loss_d": 0.5}))
    assert "train gan: 10 of 10 images" in capsys.readouterr().err
