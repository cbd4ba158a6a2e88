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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from genlib.cluster.session import session
from genlib.data.images import Images
from genlib.fit import Job, fit
from genlib.training.loop import Diverged

Status = Literal["finished", "stopped early", "diverged", "error"]
Space = Mapping[str, Mapping[str, list[Any]]]
FACTOR, RUNGS = 3, 3
_TUNE_KEYS = ("time_total_s", "time_this_iter_s", "time_since_restore")


@dataclass
class Trial:
    """One trial: its knobs, its last scores, how far it came and why it ended."""

    number: int
    knobs: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0
    seconds: float = 0.0
    status: Status = "finished"


class Listener(Protocol):
    """Who wants to know of trials as they go."""

    def __call__(self, trial: Trial, ended: bool) -> None: ...


Score = Callable[[Any], dict[str, float]]
Fill = Callable[[Mapping[str, Any]], Job]


@dataclass(frozen=True)
class Sweep:
    """What to search: `fill(knobs)` makes a trial's job, `score(model)` its metrics at each of its reports."""

    fill: Fill
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

        budget = sweep.fill(sweep.default).train.images
        book = Book(hear, budget)
        folder = f"{name}-{os.getpid()}"
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, sweep=sweep, images=images), {"CPU": 1}),
            param_space={"knobs": {key: _distribution(entry) for key, entry in sweep.space.items()}},
            tune_config=tune.TuneConfig(
                num_samples=sweep.trials,
                max_concurrent_trials=cpus,
                reuse_actors=True,
                search_alg=_random_search(sweep),
                scheduler=_halving(sweep, budget),
            ),
            run_config=tune.RunConfig(
                name=folder, storage_path=str(storage.resolve()), verbose=0, callbacks=[_callback(book)]
            ),
        ).fit()
        shutil.rmtree(storage / folder, ignore_errors=True)
    return sorted(book.trials.values(), key=lambda trial: trial.number)


def _trial(config: dict[str, Any], sweep: Sweep, images: Images) -> None:
    """One trial: train, and score the averaged model at each report."""
    import torch
    from ray import tune

    torch.set_num_threads(1)
    try:
        for progress in fit(sweep.fill(config["knobs"]), images=images):
            tune.report({"images_seen": progress.images_seen, **sweep.score(progress.model)})
    except Diverged:
        worst = math.inf if sweep.mode == "min" else -math.inf
        tune.report({"images_seen": 0, sweep.metric: worst, "diverged": True})


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


class Book:
    """Keeps the book of a search: one `Trial` per Tune trial, told to `hear` as it changes."""

    def __init__(self, hear: Listener, budget: int) -> None:
        self.hear = hear
        self.budget = budget
        self.trials: dict[str, Trial] = {}

    def note(self, name: str, knobs: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Write down a trial's newest report."""
        trial = self.trials.setdefault(name, Trial(len(self.trials), dict(knobs)))
        trial.seconds = result["time_total_s"]
        if result.get("diverged"):
            trial.status = "diverged"
            return
        own = {key for key in result if isinstance(result[key], float)} - set(_TUNE_KEYS)
        trial.metrics = {key: result[key] for key in result if key in own}
        trial.images_seen = result["images_seen"]
        self.hear(trial, ended=False)

    def close(self, name: str, knobs: Mapping[str, Any], failed: bool) -> None:
        """A trial has ended: to its end, or before it."""
        trial = self.trials.setdefault(name, Trial(len(self.trials), dict(knobs)))
        if failed:
            trial.status = "error"
        elif trial.status != "diverged":
            trial.status = "finished" if trial.images_seen >= self.budget else "stopped early"
        self.hear(trial, ended=True)


def _callback(book: Book) -> Any:
    """Tune's view of the book."""
    from ray import tune

    class Callback(tune.Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any) -> None:
            book.note(trial.trial_id, trial.config["knobs"], result)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            book.close(trial.trial_id, trial.config["knobs"], failed=False)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            book.close(trial.trial_id, trial.config["knobs"], failed=True)

    return Callback()
