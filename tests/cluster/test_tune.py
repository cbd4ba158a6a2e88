"""Ray Tune, for real: the default first, the data once, bad trials named, the best one found."""

import pytest
from prepared import digits, job

from genlib.cluster.tune import Sweep, search
from genlib.data.dataset import load_dataset


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
        sweep(data, space, trials=8, seed=0), load_dataset(data).train, tmp_path, "test", lambda t, ended: None
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
