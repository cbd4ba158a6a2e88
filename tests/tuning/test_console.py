"""What is written and said of a sweep: trials.csv as pandas reads it, a line for each trial that ends, tags."""

from types import SimpleNamespace

import pandas as pd
import pytest

from genlib.files import write_csv
from genlib.tuning.console import TrialConsole, trial_health, trials_table
from genlib.tuning.objective import SearchObjective
from genlib.tuning.trial import Trial

AIM = SearchObjective("kid", "lower")
SPACE = {"train.lr_g": {}, "train.lr_d/lr_g": {}}
SWEEP = SimpleNamespace(
    title="tune gan",
    search_objective=AIM,
    metric_names=("kid", "coverage"),
    search_space=SPACE,
    tune_params=SimpleNamespace(second_metric="coverage"),
    job=SimpleNamespace(train=SimpleNamespace(seed=0)),
)


def trial(number, status="finished", reason="", seen=900, **metrics):
    knobs = {"train.lr_g": 1e-3 * (number + 1), "train.lr_d/lr_g": 1.0}
    return Trial(number, knobs, metrics, seen, 1.26, 900 * (number + 1), status, reason)


TRIALS = [
    trial(0, kid=0.2, kid_low=0.1, kid_high=0.3, coverage=0.8, loss_g=1.0, d_real=0.99, d_fake=0.99),
    trial(1, kid=0.1, kid_low=0.0, kid_high=0.2, coverage=0.7, d_real=0.6, d_fake=0.6),
    trial(2, "stopped early", kid=0.9, coverage=0.1, seen=100),
    trial(3, "diverged", "Diverged: loss, and more", seen=100),
]
AGAIN = {n: [trial(4, kid=kid, coverage=0.7)] for n, kid in ((0, 0.2), (1, 0.4))}
for runs in AGAIN.values():
    runs[0].hyperparameters["train.seed"] = 1


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("tune") / "trials.csv"
    write_csv(*trials_table(SWEEP, TRIALS, AGAIN, AIM.winner(TRIALS, AGAIN)), path)
    return pd.read_csv(path)


def test_pandas_reads_the_trials_as_they_are(rows):
    assert list(rows.trial) == list(range(6))
    assert {rows[name].dtype.kind for name in ("feasible", "winner", "front")} == {"b"}
    assert {rows[name].dtype.kind for name in ("kid", "coverage", "train.lr_g", "seconds")} == {"f"}
    assert {rows[name].dtype.kind for name in ("images_seen", "seed", "spent")} == {"i"}
    assert list(rows.status) == ["finished", "finished", "stopped early", "diverged", "finished", "finished"]
    assert "loss_g" not in rows and rows.reason.dropna().tolist() == ["Diverged: loss, and more"]


def test_repeats_and_the_median_stand_beside_what_they_repeat(rows):
    assert list(rows.repeat_of.dropna()) == [0, 1] and list(rows.seed) == [0, 0, 0, 0, 1, 1]
    assert list(rows.kid_median[:2].round(3)) == [0.2, 0.25]
    assert list(rows.winner) == [True, False, False, False, False, False]
    assert list(rows.front[:2]) == [True, True] and not rows.front[2:].any()


def test_how_the_game_stood_is_named(rows):
    assert list(rows.health.fillna("")[:4]) == ["D wins", "balanced", "", "diverged (NaN)"]
    assert trial_health(trial(0, "collapsed", duplicate_rate=0.9)) == "collapsed"


class Run:
    def __init__(self):
        self.tags, self.logged, self.status = {}, [], None

    def log(self, metrics, step):
        self.logged.append(step)

    def tag(self, tags):
        self.tags |= tags

    def end(self, status="FINISHED"):
        self.status = status


def test_every_trial_is_tracked_and_its_end_is_said(capsys):
    made = {}
    tracked = SimpleNamespace(
        start_nested_run=lambda key, name, params: made.setdefault(key, Run()),
        sender=SimpleNamespace(start=lambda: None),
    )
    with TrialConsole(SWEEP, tracked, num_trials=4) as board:
        board(trial(0, "running", seen=300, kid=0.5, d_real=0.6, d_fake=0.6))
        for each in TRIALS:
            board(each)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "tune gan: trial 0 finished: kid 0.2, coverage 0.8 "
        "(1 of 4 done, 0 running, 0 stopped early, best kid 0.2 (trial 0))"
    )
    assert lines[3] == (
        "tune gan: trial 3 diverged: Diverged: loss, and more "
        "(4 of 4 done, 0 running, 2 stopped early, best kid 0.1 (trial 1))"
    )
    assert made["trial-0"].tags == {"genlib.health": "D wins", "genlib.status": "finished", "genlib.feasible": "true"}
    assert made["trial-3"].tags["genlib.feasible"] == "false" and made["trial-3"].status == "FINISHED"
    assert made["trial-0"].logged == [300, 900]
