"""Trials are runs nested in the run of their sweep."""

from types import SimpleNamespace

from tracking.runs import TAGS, start

from genlib.tracking.run_folder import read_header, read_rows
from genlib.tuning.objective import SearchObjective
from genlib.tuning.trial import Trial
from pipelines.tune import track_trials

SWEEP = SimpleNamespace(title="tune gan", objective=SearchObjective("kid", "lower"))


def trial(number, status, seen, **metrics):
    return Trial(number, {"train.lr": 0.001}, metrics, seen, 1.26, 900, status)


def test_a_trial_is_a_run_with_every_report_and_how_it_ended(tmp_path):
    sweep = start(tmp_path, "tune gan")
    on_trial = track_trials(sweep, SWEEP)
    on_trial("trial", trial(0, "running", 300, kid=0.5, d_real=0.6, d_fake=0.6))
    on_trial("trial", trial(0, "finished", 900, kid=0.2, d_real=0.99, d_fake=0.99))
    on_trial("repeat", trial(0, "diverged", 100))
    first, repeat = (sweep.path / f"nested/{kind}-0" for kind in ("trial", "repeat"))
    states = {"genlib.health": "D wins", "genlib.status": "finished", "genlib.feasible": "true"}
    assert read_header(first)["tags"] == TAGS | states
    assert read_header(first)["name"] == "tune gan trial 0" and read_header(first)["params"] == {"train.lr": "0.001"}
    assert [row["step"] for row in read_rows(first)] == [300, 900]
    states = {"genlib.health": "diverged (NaN)", "genlib.status": "diverged", "genlib.feasible": "false"}
    assert read_header(repeat)["tags"] == TAGS | states and read_header(repeat)["status"] == "FINISHED"
