"""Ray Tune, for real: every searcher, bad trials named, nothing repeated after a kill, what is not there refused."""

import itertools
import math
import os
import re
import signal
import time
from dataclasses import replace

import pytest
import ray
import torch
from documents import example
from prepared import digits, job
from torch import nn

from genlib.data.dataset import load_dataset
from genlib.data.images import to_float
from genlib.errors import InputError
from genlib.evaluation.evaluator import Evaluator, TrialScorer
from genlib.metrics.constraints import build_constraints
from genlib.training.fit import fit
from genlib.training.job import save_model
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import Resources, SearchConfig, search
from genlib.tuning.searchers import POPULATION_BASED, SEARCHERS
from genlib.tuning.training_trial import TrainingTrial
from tuning.trainables import STEP, STEPS, Curve, Raising, begun

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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


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
    assert sum(each.has_ended for each in heard) == 6 and max(each.cumulative_images for each in heard) == trials_spent(
        trials
    )
    in_full = searcher in ("random_no_pruning", "multi_objective", *POPULATION_BASED)
    assert all(trial.images_seen == STEPS * STEP for trial in trials) == in_full, "halving stops some, and nothing else"
    starts = begun(tmp_path / "log")
    assert search(Curve(tmp_path / "log"), plan, tmp_path / "state") == trials
    assert begun(tmp_path / "log") == starts, "a finished search was searched again"


def trials_spent(trials):
    return sum(trial.images_seen for trial in trials)


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


def latent(model):
    """A score that one knob decides."""
    return {"latent": float(model.latent)}


def trial(data, tmp_path, name="vae", score=latent, **train):
    run = job(name, data, **{"total_images": 144, "report_every": 16, "checkpoint_every": 16} | train)
    return TrainingTrial(run, score, load_dataset(data).load_for_workers(), tmp_path / "workers")


def test_a_trial_trains_a_job_with_its_knobs_and_names_what_does_not_work(data, tmp_path):
    space = {"train.lr": {"choice": [1e-3]}, "model.latent": {"choice": [6]}}
    points = [{"train.lr": 1e-3, "model.latent": -1}, {"train.lr": 1e30, "model.latent": 4}]
    plan = SearchConfig(
        space,
        SearchObjective("latent", "higher"),
        num_trials=3,
        images_per_trial=144,
        points_to_evaluate=points,
        searcher="random_no_pruning",
    )
    wrong, diverged, well = search(trial(data, tmp_path), plan, tmp_path / "state")
    assert wrong.status == "error" and "latent must be at least 1" in wrong.reason
    assert diverged.status == "diverged" and diverged.reason
    assert well.status == "finished" and well.hyperparameters == {"train.lr": 1e-3, "model.latent": 6}
    assert well.metrics["latent"] == 6 and "reconstruction" in well.metrics


def test_a_population_exchanges_weights(data, tmp_path):
    """A rate of 0 learns nothing, so a trial of that rate has what it has from another."""
    space = {"train.lr": {"loguniform": [1e-3, 1e-2]}}
    still = {"train.lr": 1e-12}
    plan = SearchConfig(
        space,
        SearchObjective("reconstruction"),
        num_trials=3,
        images_per_trial=432,
        searcher="pbt",
        points_to_evaluate=[still],
        seed=2,
    )
    exchanging = trial(data, tmp_path, score=nothing, total_images=432, report_every=72, checkpoint_every=72)
    trials = search(exchanging, plan, tmp_path / "state")
    assert all(each.status == "finished" for each in trials)
    assert trials[0].hyperparameters["train.lr"] != 1e-12
    assert trials[0].metrics["reconstruction"] < 1.3 * trials[1].metrics["reconstruction"]


def nothing(model):
    return {}


class Planted(nn.Module):
    """In place of a trained model: where its code has one number, the most typical image of each class and no other;
    else real images, blurred a little."""

    def __init__(self, latent, images):
        super().__init__()
        self.latent, self.images, self.place = latent, images, nn.Parameter(torch.zeros(()))

    def sample(self, n, *, seed=0):
        generator = torch.Generator().manual_seed(seed)
        if self.latent == 1:
            return to_float(typical(self.images)[torch.randint(10, (n,), generator=generator)])
        x = to_float(self.images.pixels[torch.randperm(len(self.images), generator=generator)[:n]])
        return 0.6 * x + 0.4 * nn.functional.avg_pool2d(x, 3, stride=1, padding=1)


def typical(images):
    """Of each class the image nearest to the mean of all."""
    of_class = [images.pixels[images.labels == c] for c in range(10)]
    apart = [(pixels - pixels.float().mean(0)).square().flatten(1).sum(1) for pixels in of_class]
    return torch.stack([pixels[distance.argmin()] for pixels, distance in zip(of_class, apart, strict=True)])


@pytest.fixture(scope="module")
def rehearsal(data, tmp_path_factory):
    """Judge A, trained, with the metrics of the two searches."""
    dataset, state = load_dataset(data), tmp_path_factory.mktemp("judge")
    judge = job("classifier", data, state, total_images=16_000, batch_size=64, lr=3e-3, ema=0.9, report_every=16_000)
    judge = replace(judge, model=judge.model | {"width": 12})
    for _ in fit(replace(judge, train=replace(judge.train, checkpoint_every=16_000))):
        pass
    save_model(judge, state / "model")
    asked = ("kid", "inception_score", "coverage", "support")
    return TrialScorer(Evaluator.from_folder(state / "model", dataset), asked, 300, 0)


def test_a_search_is_fooled_by_the_inception_score_and_not_by_the_default_objective(data, tmp_path, rehearsal):
    """A code of one number makes ten images for ever, which the judge is surer of than of real ones."""
    images = load_dataset(data).valid
    planted = trial(data, tmp_path, score=lambda model: rehearsal(Planted(model.latent, images)), report_every=72)
    bounds = tuple(build_constraints({"coverage": 0.3, "support": 0.5}, rehearsal.baselines()))
    space, default = {"model.latent": {"choice": [1, 4]}}, {"model.latent": 4}
    plan = SearchConfig(
        space,
        SearchObjective("inception_score", "higher"),
        num_trials=6,
        images_per_trial=144,
        points_to_evaluate=[default],
        seed=3,
    )
    naive = search(planted, plan, tmp_path / "naive")
    guarded = search(
        planted, replace(plan, search_objective=SearchObjective("kid", "lower", bounds)), tmp_path / "guarded"
    )
    assert (
        {each.hyperparameters["model.latent"] for each in naive}
        == {1, 4}
        == {each.hyperparameters["model.latent"] for each in guarded}
    )
    assert plan.search_objective.best(naive).hyperparameters["model.latent"] == 1
    assert SearchObjective("kid", "lower", bounds).best(guarded).hyperparameters["model.latent"] == 4
    for each in naive + guarded:
        assert SearchObjective("kid", "lower", bounds).is_feasible(each) == (each.hyperparameters["model.latent"] == 4)


def test_a_trial_whose_repertoire_is_gone_is_given_up(data, tmp_path):
    """A generator that never moves makes one grey image."""
    still = trial(data, tmp_path, "gan", score=lambda model: {"latent": 1.0}, images=480, report_every=48)
    plan = SearchConfig(
        {"train.lr_g": {"choice": [1e-12]}}, SearchObjective("latent"), num_trials=1, images_per_trial=480
    )
    [lost] = search(still, plan, tmp_path / "state")
    assert lost.status == "collapsed" and lost.reason
    assert 160 <= lost.images_seen < 480
    assert not plan.search_objective.is_feasible(lost)
    assert math.isfinite(next(itertools.chain(lost.metrics.values())))


def test_a_trial_may_hold_a_job_of_two_workers(data, tmp_path, ray_session):
    """It gives what one process gives, up to rounding."""
    together = trial(data, tmp_path, workers=2, images=48)
    plan = SearchConfig(
        {"train.lr": {"choice": [1e-3]}}, SearchObjective("latent", "higher"), num_trials=1, images_per_trial=48
    )
    [found] = search(together, replace(plan, resources=Resources(workers=2)), tmp_path / "state")
    *_, alone = trial(data, tmp_path, images=48)({"train.lr": 1e-3}, tmp_path / "alone")
    assert found.status == "finished"
    assert ray.available_resources()["CPU"] == ray_session, "the workers of a trial that ended keep their CPUs"
    for name in ("latent", "reconstruction"):
        assert found.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-3)
