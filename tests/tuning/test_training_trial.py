"""Trials that train a model: hyperparameters change a job, populations exchange weights, a search is not fooled."""

import math
from dataclasses import replace

import pytest
import ray
import torch
from prepared import digits, job
from torch import nn

from genlib.data.dataset import load_dataset
from genlib.data.images import to_float
from genlib.evaluation.evaluator import Evaluator, TrialScorer
from genlib.metrics.constraints import build_constraints
from genlib.training.fit import fit
from genlib.training.job import save_model
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import search
from genlib.tuning.searchers import Resources, SearchConfig
from genlib.tuning.training_trial import TrainingTrial

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def latent(model):
    """A score that one hyperparameter decides."""
    return {"latent": float(model.latent)}


def trial(data, tmp_path, name="vae", score=latent, **train):
    run = job(name, data, **{"total_images": 144, "report_every": 16, "checkpoint_every": 16} | train)
    return TrainingTrial(replace(run, dataset=run.dataset.load_for_workers()), score, tmp_path / "workers")


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
    assert wrong.status == "error" and "latent: got " in wrong.reason
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
    """The tuning classifier, trained, with the metrics of the two searches."""
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
    """Steps so large that the generator's output saturates leave one image."""
    wild = trial(data, tmp_path, "gan", score=lambda model: {"latent": 1.0}, total_images=480, report_every=48, ema=0.0)
    plan = SearchConfig(
        {"train.lr_g": {"choice": [100.0]}}, SearchObjective("latent"), num_trials=1, images_per_trial=480
    )
    [lost] = search(wild, plan, tmp_path / "state")
    assert lost.status == "collapsed" and lost.reason
    assert 160 <= lost.images_seen < 480
    assert not plan.search_objective.is_feasible(lost)
    assert math.isfinite(next(iter(lost.metrics.values())))


def test_a_trial_may_hold_a_job_of_two_workers(data, tmp_path, ray_session):
    """It gives what one process gives, up to rounding."""
    together = trial(data, tmp_path, workers=2, total_images=48)
    plan = SearchConfig(
        {"train.lr": {"choice": [1e-3]}}, SearchObjective("latent", "higher"), num_trials=1, images_per_trial=48
    )
    [found] = search(together, replace(plan, resources=Resources(workers=2)), tmp_path / "state")
    *_, alone = trial(data, tmp_path, total_images=48)({"train.lr": 1e-3}, tmp_path / "alone")
    assert found.status == "finished"
    assert ray.available_resources()["CPU"] == ray_session, "the workers of a trial that ended keep their CPUs"
    for name in ("latent", "reconstruction"):
        assert found.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-3)
