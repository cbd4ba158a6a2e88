"""A sweep's table as pandas reads it, and the folder of its state."""

from types import SimpleNamespace

import pandas as pd
import pytest

from genlib.files import write_csv
from genlib.params import TuneSection
from genlib.tuning import sweep as sweep_module
from genlib.tuning.sweep import Sweep
from genlib.tuning.trial import Trial

SPACE = {"train.lr_g": {"uniform": [0, 1]}, "train.lr_d/lr_g": {"uniform": [0, 1]}}


def build_sweep(folder=None, **tune_params):
    job = SimpleNamespace(train=SimpleNamespace(seed=0), digest="job")
    evaluator = SimpleNamespace(card={"sha256": "classifier"})
    scorer = SimpleNamespace(metrics=("kid", "coverage"), n=10, seed=0, evaluator=evaluator, baselines=dict)
    return Sweep("tune gan", job, scorer, TuneSection(**tune_params), SPACE, folder)


def trial(number, status="finished", reason="", seen=900, **metrics):
    hyperparameters = {"train.lr_g": 1e-3 * (number + 1), "train.lr_d/lr_g": 1.0}
    return Trial(number, hyperparameters, metrics, seen, 1.26, 900 * (number + 1), status, reason)


TRIALS = [
    trial(0, kid=0.2, kid_low=0.1, kid_high=0.3, coverage=0.8, loss_g=1.0, d_real=0.99, d_fake=0.99),
    trial(1, kid=0.1, kid_low=0.0, kid_high=0.2, coverage=0.7, d_real=0.6, d_fake=0.6),
    trial(2, "stopped early", kid=0.9, coverage=0.1, seen=100),
    trial(3, "diverged", "Diverged: loss, and more", seen=100),
]
REPEATS = {n: [trial(4, kid=kid, coverage=0.7)] for n, kid in ((0, 0.2), (1, 0.4))}
for runs in REPEATS.values():
    runs[0].hyperparameters["train.seed"] = 1


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path, sweep = tmp_path_factory.mktemp("tune") / "trials.csv", build_sweep()
    write_csv(*sweep.trials_table(TRIALS, REPEATS, sweep.objective.winner(TRIALS, REPEATS)), path)
    return pd.read_csv(path)


def test_pandas_reads_the_trials_as_they_are(rows):
    assert list(rows.trial) == list(range(6))
    assert {rows[name].dtype.kind for name in ("feasible", "winner", "front")} == {"b"}
    assert {rows[name].dtype.kind for name in ("kid", "coverage", "train.lr_g", "seconds")} == {"f"}
    assert {rows[name].dtype.kind for name in ("images_seen", "seed", "spent")} == {"i"}
    assert list(rows.status) == ["finished", "finished", "stopped early", "diverged", "finished", "finished"]
    assert "loss_g" not in rows and rows.reason.dropna().tolist() == ["Diverged: loss, and more"]


def test_columns_are_those_of_the_file_format(rows):
    assert list(rows) == [
        *("trial", "repeat_of", "seed", *SPACE, "kid", "kid_low", "kid_high", "kid_median", "coverage"),
        *("status", "feasible", "winner", "front", "health", "images_seen", "seconds", "spent", "reason"),
    ]


def test_repeats_and_the_median_stand_beside_what_they_repeat(rows):
    assert list(rows.repeat_of.dropna()) == [0, 1] and list(rows.seed) == [0, 0, 0, 0, 1, 1]
    assert list(rows.kid_median[:2].round(3)) == [0.2, 0.25] and rows.kid_median[2:].isna().all()
    assert list(rows.winner) == [True, False, False, False, False, False]
    assert list(rows.front[:2]) == [True, True] and not rows.front[2:].any()


def test_the_state_of_the_gan_is_named(rows):
    assert list(rows.health.fillna("")[:4]) == ["D wins", "balanced", "", "diverged (NaN)"]
    assert trial(0, "collapsed", duplicate_rate=0.9).health == "collapsed"


def test_state_is_kept_for_the_same_params_and_scoring_code(tmp_path, monkeypatch):
    package = tmp_path / "package"
    for name in ("metrics/kid.py", "metrics/stats/intervals.py", "evaluation/evaluator.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x = 1")
    monkeypatch.setattr(sweep_module, "PACKAGE", package)
    state = build_sweep(tmp_path).state_dir
    assert build_sweep(tmp_path, models=["gan"]).state_dir == state
    assert build_sweep(tmp_path, trials=9).state_dir != state
    (package / "metrics/kid.py").write_text("x = 2")
    assert build_sweep(tmp_path).state_dir != state
