"""Ray Tune, for real: the default first, the data once, bad trials named, the best one found."""

from dataclasses import replace

import pytest
import torch
from prepared import digits, job
from torch import nn

from genlib.cluster.trial import best, feasible
from genlib.cluster.tune import Sweep, search
from genlib.data.dataset import load_dataset
from genlib.data.images import to_float
from genlib.evaluation.judgement import Bench, Rehearsal
from genlib.evaluation.limits import limits
from genlib.fit import fit, save_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def latent(model):
    """A score that one knob decides."""
    return {"latent": float(model.latent)}


def sweep(data, space, **more):
    run = job("vae", data, images=144, report_every=16)
    default = {"model.latent": 4, "train.lr": 1e-3}
    settings = {"job": run, "score": latent, "space": space, "default": default, "metric": "latent", "mode": "max"}
    return Sweep(**settings | {"trials": 6, "seed": 1} | more)


SPACE = {"model.latent": {"int": [1, 9]}, "train.lr": {"loguniform": [1e-4, 1e-2]}}


def test_a_search_runs_its_trials_the_default_first(data, tmp_path):
    heard = []
    trials = search(
        sweep(data, SPACE),
        load_dataset(data).train,
        tmp_path,
        "test",
        lambda trial, ended: heard.append((trial.number, ended)),
    )
    assert [trial.number for trial in trials] == list(range(6))
    assert trials[0].knobs == {"model.latent": 4, "train.lr": 1e-3}
    assert all(1 <= trial.knobs["model.latent"] <= 9 for trial in trials)
    assert all(trial.metrics == {"latent": trial.knobs["model.latent"]} for trial in trials)
    assert {trial.status for trial in trials} <= {"finished", "stopped early"}
    best = max(trials, key=lambda trial: trial.metrics["latent"])
    assert best.status == "finished"
    assert best.images_seen == 144
    assert [number for number, ended in heard if ended] and sum(ended for _, ended in heard) == 6
    assert not list(tmp_path.iterdir())


def test_trials_that_diverge_or_fail_are_named_and_the_search_goes_on(data, tmp_path):
    space = {"train.lr": {"choice": [1e-3, 1e30]}, "model.latent": {"choice": [4, -1]}}
    trials = search(
        sweep(data, space, trials=8, seed=0), load_dataset(data).train, tmp_path, "test", lambda trial, ended: None
    )
    for trial in trials:
        if trial.knobs["model.latent"] == -1:
            assert trial.status == "error"
            assert "latent must be at least 1" in trial.reason
        elif trial.knobs["train.lr"] == 1e30:
            assert trial.status == "diverged"
        else:
            assert trial.status in ("finished", "stopped early")
    assert {"error", "diverged"} <= {trial.status for trial in trials}


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
    judge = job("classifier", data, state, images=16_000, batch_size=64, lr=3e-3, ema=0.9, report_every=16_000)
    judge = replace(judge, model=judge.model | {"width": 12})
    for _ in fit(replace(judge, train=replace(judge.train, checkpoint_every=16_000))):
        pass
    save_model(judge, state / "model")
    asked = ("inception_score", "kid", "coverage", "support")
    return Rehearsal(Bench.of(state / "model", dataset), asked, 300, 0)


def test_a_search_is_fooled_by_the_inception_score_and_not_by_the_default_objective(data, tmp_path, rehearsal):
    """A code of one number makes ten images for ever, which the judge is surer of than of real ones."""
    images, known = load_dataset(data).valid, load_dataset(data).train
    planted = sweep(
        data,
        {"model.latent": {"choice": [1, 4]}},
        job=job("vae", data, images=144, report_every=72),
        score=lambda model: rehearsal(Planted(model.latent, images)),
        default={"model.latent": 4},
        seed=3,
    )
    naive, guarded = (
        search(replace(planted, metric=metric, mode=mode), known, tmp_path, metric, lambda trial, ended: None)
        for metric, mode in (("inception_score", "max"), ("kid", "min"))
    )
    bounds = limits({"coverage": 0.3, "support": 0.5}, rehearsal.nulls())
    assert {trial.knobs["model.latent"] for trial in naive} == {1, 4}
    assert best(naive, "inception_score", "max", []).knobs["model.latent"] == 1
    assert best(guarded, "kid", "min", bounds).knobs["model.latent"] == 4
    for trial in naive + guarded:
        assert feasible(trial, "kid", bounds) == (trial.knobs["model.latent"] == 4)


def test_a_trial_whose_repertoire_is_gone_is_given_up(data, tmp_path):
    """A generator that never moves makes one grey image."""
    run = job("gan", data, images=480, report_every=48)
    still = replace(sweep(data, {}), job=run, space={"train.lr_g": {"choice": [1e-12, 1e-13]}})
    still = replace(still, score=lambda model: {"latent": 1.0}, default={"train.lr_g": 1e-12}, trials=2)
    trials = search(still, load_dataset(data).train, tmp_path, "test", lambda trial, ended: None)
    assert {trial.status for trial in trials} <= {"collapsed", "stopped early"}
    assert trials[0].status == "collapsed" and trials[0].reason
    assert 160 <= trials[0].images_seen < 480
    assert not feasible(trials[0], "latent", [])
