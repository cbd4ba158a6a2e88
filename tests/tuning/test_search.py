"""Ray Tune, for real: every searcher, bad trials named, nothing repeated after a kill, what is not there refused."""

import os
import re
import signal
import time
from dataclasses import replace

import pytest
from documents import example

from genlib.errors import InputError
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import search
from genlib.tuning.searchers import POPULATION_BASED, SEARCHERS, Resources, SearchConfig
from tests.tuning.trainables import STEP, STEPS, Curve, Raising, begun

pytestmark = pytest.mark.usefixtures("ray_session")
SPACE = {
    "lr": {"loguniform": [1e-4, 1.0]},
    "spread": {"uniform": [0.0, 1.0]},
    "width/other": {"choice": [1, 2]},
    "depth": {"int": [1, 3]},
}
DEFAULT = {"lr": 0.03, "spread": 0.5, "width/other": 4, "depth": 2}
PLAN = SearchConfig(
    SPACE, SearchObjective("loss"), 6, STEPS * STEP, points_to_evaluate=[DEFAULT], resources=Resources(cpu=2), seed=1
)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_searcher_runs_its_trials_the_default_first_and_finds_the_best(tmp_path, searcher):
    aim = SearchObjective("loss", second_metric="spread" if searcher == "multi_objective" else "")
    heard = []
    plan = replace(PLAN, searcher=searcher, search_objective=aim, frozen_keys=("spread",))
    trials = search(Curve(tmp_path / "log"), plan, tmp_path / "state", lambda trial: heard.append(replace(trial)))
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.status for trial in trials} <= {"finished", "stopped early"}
    first = next(trial for trial in heard if trial.number == 0)
    assert first.hyperparameters == pytest.approx(DEFAULT)
    for trial in trials[1:]:
        assert 0.9999e-4 <= trial.hyperparameters["lr"] <= 1.0001 and 0 <= trial.hyperparameters["spread"] <= 1
        assert trial.hyperparameters["width/other"] in (1, 2, 4) and trial.hyperparameters["depth"] in (1, 2, 3)
    best = aim.best(trials)
    assert best.images_seen == STEPS * STEP and best.metrics["loss"] == min(t.metrics["loss"] for t in trials)
    assert sum(each.has_ended for each in heard) == 6
    assert max(each.cumulative_images for each in heard) == sum(trial.images_seen for trial in trials)
    in_full = searcher in ("random_no_pruning", "multi_objective", *POPULATION_BASED)
    assert all(trial.images_seen == STEPS * STEP for trial in trials) == in_full, "halving stops some, and nothing else"
    starts = begun(tmp_path / "log")
    assert search(Curve(tmp_path / "log"), plan, tmp_path / "state") == trials
    assert begun(tmp_path / "log") == starts, "a finished search was searched again"


def test_a_population_takes_over_what_the_better_kept_and_changes_only_what_may_change(tmp_path):
    plan = replace(PLAN, searcher="pbt", num_trials=4, frozen_keys=("spread",))
    trials = search(Curve(tmp_path / "log", pause=0.02), plan, tmp_path / "state")
    starts = begun(tmp_path / "log")
    taken = [(lr, first) for _, lr, first in starts if first]
    drawn = {lr for _, lr, first in starts if not first}
    assert len(drawn) == 4 and {lr for lr, _ in taken} - drawn, "no trial went on with changed knobs"
    assert all(trial.status == "finished" for trial in trials)
    assert len({trial.hyperparameters["spread"] for trial in trials}) < 4, "no trial took over another's knobs"


def test_trials_that_come_to_nothing_are_named_and_the_search_goes_on(tmp_path):
    space = {"lr": {"choice": [0.01]}, "kind": {"choice": ["well"]}}
    kinds = {"well": "finished", "wrong": "error", "infinite": "diverged", "lost": "collapsed"}
    points = [{"lr": 0.01, "kind": kind} for kind in kinds]
    plan = replace(PLAN, space=space, num_trials=4, points_to_evaluate=points, searcher="random_no_pruning")
    trials = search(Curve(tmp_path / "log", fails=Raising()), plan, tmp_path / "state")
    assert [trial.status for trial in trials] == list(kinds.values())
    assert [trial.images_seen for trial in trials] == [900, 300, 300, 300]
    assert [trial.reason for trial in trials] == ["", "KeyError: 'x'", "ArithmeticError: loss", "twins"]
    assert plan.search_objective.best(trials).number == 0


def test_time_is_kept(tmp_path):
    """Of trials of 64 seconds each the 12 that are allowed see the first, and a second call sees no more."""
    plan = replace(PLAN, num_trials=40, time_limit_minutes=0.2, searcher="random_no_pruning")
    trials = search(Curve(tmp_path / "log", pause=8.0), plan, tmp_path / "state")
    assert 0 < len(trials) <= 4
    assert {trial.status for trial in trials} == {"stopped early"}
    before = begun(tmp_path / "log")
    assert search(Curve(tmp_path / "log", pause=8.0), plan, tmp_path / "state") == trials
    assert begun(tmp_path / "log") == before


def test_a_trial_whose_process_is_killed_goes_on_from_what_it_kept(tmp_path):
    killed = []

    def kill(trial):
        if trial.images_seen == 4 * STEP and not killed:
            killed.append(begun(tmp_path / "log")[-1][0])
            os.kill(killed[0], signal.SIGKILL)

    plan = replace(PLAN, num_trials=1, searcher="random_no_pruning")
    [trial] = search(Curve(tmp_path / "log", pause=0.2), plan, tmp_path / "state", kill)
    (first, *again) = begun(tmp_path / "log")
    assert killed and first[2] == 0
    assert [lr for _, lr, _ in again] == [first[1]] and again[0][2] >= 3
    assert (trial.status, trial.images_seen) == ("finished", STEPS * STEP)


def test_a_torn_snapshot_costs_no_trial_that_ended(tmp_path):
    plan = replace(PLAN, num_trials=3, searcher="random_no_pruning")
    first = search(Curve(tmp_path / "log"), plan, tmp_path / "state")
    [snapshot] = (tmp_path / "state/ray").glob("experiment_state-*.json")
    snapshot.write_text(snapshot.read_text()[:100])
    more = search(Curve(tmp_path / "log"), replace(plan, num_trials=5, points_to_evaluate=()), tmp_path / "state")
    assert more[:3] == first
    assert [trial.number for trial in more] == [0, 1, 2, 3, 4] and all(trial.has_ended for trial in more)
    assert len(begun(tmp_path / "log")) == 5


@pytest.mark.parametrize("resources", [Resources(cpu=1000), Resources(gpu=8.5)])
def test_what_no_node_has_is_refused_at_once(tmp_path, resources):
    started = time.monotonic()
    with pytest.raises(InputError, match=r"^tune.resources: got .* for a trial, expected what one node has"):
        search(Curve(tmp_path / "log"), replace(PLAN, resources=resources), tmp_path / "state")
    assert time.monotonic() - started < 20 and not begun(tmp_path / "log")


def test_the_guides_function_of_ones_own_is_searched(tmp_path, monkeypatch, capsys):
    """As a program of its own, which is not importable by Ray's workers."""
    import runpy

    (tmp_path / "scan.py").write_text(example("guide.md", "scan.py"))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("scan.py", run_name="__main__")
    said = capsys.readouterr().out
    assert "finished" in said and "0 running" in said
    damping = float(re.search(r"best \{'damping': ([\d.]+)\}", said).group(1))
    assert 0.5 < damping < 1.5
