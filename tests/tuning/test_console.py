"""What a search prints: a line for each trial that ends."""

from contextlib import closing

from genlib.tuning.console import TrialConsole
from genlib.tuning.objective import SearchObjective
from genlib.tuning.trial import Trial


def trial(number, status="finished", reason="", **metrics):
    return Trial(number, {}, metrics, 900, 1.26, 900, status, reason)


def test_every_end_of_a_trial_is_printed_with_the_best_so_far(capsys):
    with closing(TrialConsole("tune gan", SearchObjective("kid"), ("kid", "coverage"), 4, "trial")) as console:
        console(trial(0, "running", kid=0.5))
        console(trial(0, kid=0.2, coverage=0.8))
        console(trial(1, kid=0.1, coverage=0.7))
        console(trial(2, "stopped early", kid=0.9, coverage=0.1))
        console(trial(3, "diverged", "Diverged: loss, and more"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0] == (
        "tune gan: trial 0 finished: kid 0.2, coverage 0.8 "
        "(1 of 4 done, 0 running, 0 stopped early, best kid 0.2 (trial 0))"
    )
    assert lines[3] == (
        "tune gan: trial 3 diverged: Diverged: loss, and more "
        "(4 of 4 done, 0 running, 2 stopped early, best kid 0.1 (trial 1))"
    )
