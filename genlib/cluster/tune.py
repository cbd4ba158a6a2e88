"""Ray Tune: many trials of one model, each a plain function in an actor that the next trial reuses.

The first trial is the current params. Asynchronous successive halving (ASHA, Li et al. 2020) stops the worse two
thirds of the trials at every rung, so that images go to those worth them. The data lie in the object store once, not
per trial.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genlib.cluster.session import quiet, session
from genlib.cluster.trial import Listener, Status, Trial
from genlib.data.images import Images
from genlib.fit import Job, fit
from genlib.training.health import Patience
from genlib.training.loop import Diverged

Space = Mapping[str, Mapping[str, list[Any]]]
FACTOR, RUNGS = 3, 3
Score = Callable[[Any], dict[str, float]]


@dataclass(frozen=True)
class Sweep:
    """What to search: `space` changes knobs of `job`, and `score(model)` gives a trial's metrics at each report."""

    job: Job
    score: Score
    space: Space
    default: Mapping[str, Any]
    metric: str
    mode: Literal["min", "max"]
    trials: int
    seed: int = 0


def search(sweep: Sweep, images: Images, storage: Path, name: str, hear: Listener) -> list[Trial]:
    """Run the trials of `sweep` on the training split `images`, the first with the default knobs, in order of start."""
    with session() as cpus:
        from ray import tune

        from genlib.cluster.book import Book

        quiet()
        book = Book(hear, budget=sweep.job.train.images)
        folder = f"{name}-{os.getpid()}"
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, sweep=sweep, images=images), {"CPU": 1}),
            param_space={"knobs": {key: _distribution(entry) for key, entry in sweep.space.items()}},
            tune_config=tune.TuneConfig(
                num_samples=sweep.trials,
                max_concurrent_trials=cpus,
                reuse_actors=True,
                search_alg=_random_search(sweep),
                scheduler=_halving(sweep, sweep.job.train.images),
            ),
            run_config=tune.RunConfig(name=folder, storage_path=str(storage.resolve()), verbose=0, callbacks=[book]),
        ).fit()
        shutil.rmtree(storage / folder, ignore_errors=True)
    return [book.trials[number] for number in sorted(book.trials)]


def _trial(config: dict[str, Any], sweep: Sweep, images: Images) -> None:
    """One trial: train, and score the averaged model at each report."""
    import torch
    from ray import tune

    torch.set_num_threads(1)
    patience = Patience(sweep.job.train.images)
    try:
        for progress in fit(sweep.job.changed(config["knobs"]), images=images):
            if progress.resumed:
                continue
            tune.report({"images_seen": progress.images_seen, **sweep.score(progress.model)})
            if patience.lost(progress.images_seen, progress.metrics):
                tune.report(_last(sweep, "collapsed", "most generated images have a twin"))
                return
    except Diverged as error:
        tune.report(_last(sweep, "diverged", f"Diverged: {error}"))
    except Exception as error:
        tune.report(_last(sweep, "error", f"{type(error).__name__}: {error}"))


def _last(sweep: Sweep, status: Status, reason: str) -> dict[str, Any]:
    """The last report of a trial that came to nothing: the worst score, and why."""
    worst = math.inf if sweep.mode == "min" else -math.inf
    return {"images_seen": 0, sweep.metric: worst, "status": status, "reason": reason}


def _random_search(sweep: Sweep) -> Any:
    from ray.tune.search.basic_variant import BasicVariantGenerator

    return BasicVariantGenerator(points_to_evaluate=[{"knobs": dict(sweep.default)}], random_state=sweep.seed)


def _halving(sweep: Sweep, budget: int) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    grace = max(1, budget // FACTOR ** (RUNGS - 1))
    return ASHAScheduler(
        "images_seen", sweep.metric, sweep.mode, max_t=budget, grace_period=grace, reduction_factor=FACTOR
    )


def _distribution(entry: Mapping[str, list[Any]]) -> Any:
    from ray import tune

    [(kind, values)] = entry.items()
    if kind == "choice":
        return tune.choice(values)
    if kind == "int":
        return tune.randint(values[0], values[1] + 1)
    return {"uniform": tune.uniform, "loguniform": tune.loguniform}[kind](*values)
