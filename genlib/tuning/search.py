"""Ray Tune: many trials of one function, each in an actor that the next trial reuses.

The function may be anything that yields reports; `genlib.tuning.training_trial` trains a model:

    def run(knobs, folder):
        for images_seen in range(100, 1001, 100):
            yield Report(images_seen, {"loss": (knobs["lr"] - 0.01) ** 2 + 1 / images_seen})

    search(run, Search({"lr": {"loguniform": [1e-4, 1.0]}}, Aim("loss"), trials=20, images=1000), Path("sweep"))

What `run` writes into `folder` is kept at every report. A trial whose process died is begun again with the folder as it
was last kept, and so is one of a population that takes over another's state; a `run` that leaves the folder empty
starts from nothing. What it holds (a data set) goes to the object store once, not with every trial.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlib.distributed.session import quiet, session
from genlib.distributed.signals import insistent
from genlib.errors import InputError, unknown
from genlib.tuning.objective import Aim
from genlib.tuning.searchers import PROGRESS, SEARCHERS, Searcher, Task
from genlib.tuning.space import Knobs, Space
from genlib.tuning.trial import GivenUp, Listener, Report, Status, Trial

Run = Callable[[dict[str, Any], Path], Iterator[Report]]
RESTARTS = 3  # of a trial whose process dies
KEPT = 9  # checkpoints of a trial of a population, which others may take over; a snapshot may lag behind by some
SNAPSHOT = "experiment_state-*.json"


@dataclass(frozen=True)
class Resources:
    """What one trial gets: `cpu` and `gpu` may be fractions. With `workers` it trains on so many, each with a CPU."""

    cpu: float = 1.0
    gpu: float = 0.0
    workers: int = 0

    @property
    def bundle(self) -> dict[str, float]:
        """What Ray sets aside for the trial itself; where workers do the work, one byte of memory, since it wants
        something."""
        return {"CPU": 0, "memory": 1} if self.workers else {"CPU": self.cpu, "GPU": self.gpu}


@dataclass(frozen=True)
class Search:
    """What to search: `space` holds a distribution for each knob ({"loguniform": [low, high]}, uniform, int or
    {"choice": [...]}), of `trials` trials that see `images` images in full.

    `searcher` is a name of `genlib.tuning.searchers`. `points` are the knobs of the first trials. No trial is begun or
    gone on with after `minutes`. `for_life`: knobs that a trial of a population keeps.
    """

    space: Space
    aim: Aim
    trials: int
    images: int
    searcher: str = "random"
    points: Sequence[Knobs] = ()
    minutes: float | None = None
    resources: Resources = field(default_factory=Resources)
    seed: int = 0
    for_life: Collection[str] = ()


def ignore(trial: Trial) -> None:
    """Hear nothing."""


def search(run: Run, plan: Search, folder: Path, hear: Listener = ignore) -> list[Trial]:
    """Run the trials of `plan` and tell `hear` of each as it changes; returns them in the order of their start.

    `folder` holds the state of the search, on a disk that every node sees. The same call goes on with a search that was
    interrupted or killed: trials that ended are told of again but not repeated, others go on from what they kept last.
    A folder is for one plan: remove it when the trials are wanted no more.

    Raises:
        InputError: no node has what one trial asks for, or the searcher cannot search this space.
    """
    with session():
        from genlib.tuning.trial_log import Book

        quiet()
        _check(plan)
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        searcher = SEARCHERS[plan.searcher](
            Task(plan.space, plan.images, plan.seed, plan.points, plan.for_life),
        )
        kept = None if searcher.populous else folder / "ray"
        book = Book(folder / "book.json", searcher.coding, hear, plan.images, kept)
        left = math.inf if plan.minutes is None else 60 * plan.minutes - book.seconds
        for trial in book.ended:
            hear(trial)
        if len(book.ended) < plan.trials and left > 0:
            _tune(run, plan, searcher, folder, book, left)
    return [book.trials[number] for number in sorted(book.trials)]


def _check(plan: Search) -> None:
    import ray

    if plan.searcher not in SEARCHERS:
        raise unknown("searcher", plan.searcher, SEARCHERS)
    wanted = {name: amount for name, amount in plan.resources.bundle.items() if amount}
    found = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in found if node["Alive"]]
    if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        there = ", ".join(f"{max(node.get(name, 0) for node in nodes):g} {name}" for name in ("CPU", "GPU"))
        asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        raise InputError(f"tune.resources: found {asked} for a trial, legal: what one node has, at the most {there}")


def _tune(run: Run, plan: Search, searcher: Searcher, folder: Path, book: Any, left: float) -> None:
    from ray import tune

    state = folder / "ray"
    if not _intact(state):
        shutil.rmtree(state, ignore_errors=True)
        book.restart()
    with insistent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about itself, and of the process that pb2 fits
        tune.run(
            tune.with_parameters(_trial, run=run, aim=plan.aim, coding=searcher.coding, book=book.path),
            name=state.name,
            storage_path=str(folder),
            resume="AUTO+ERRORED" if state.exists() else None,
            config=searcher.coding.distributions(),
            num_samples=plan.trials - book.before,
            search_alg=searcher.search_alg,
            scheduler=searcher.scheduler,
            resources_per_trial=plan.resources.bundle,
            max_concurrent_trials=None if searcher.populous else _places(plan.resources),
            reuse_actors=not plan.resources.workers,
            max_failures=RESTARTS,
            raise_on_failed_trial=False,
            time_budget_s=None if math.isinf(left) else left,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=KEPT if searcher.populous else None),
            callbacks=[book],
            verbose=0,
        )
    book.close()


def _places(resources: Resources) -> int:
    """How many trials run at a time."""
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    wanted = {"CPU": resources.workers} if resources.workers else resources.bundle
    return max(1, int(min(there.get(name, 0) / amount for name, amount in wanted.items() if amount)))


def _intact(state: Path) -> bool:
    """Whether there is a snapshot of a search by Ray, and none of its files was cut off while it was written."""
    snapshots = sorted(state.glob(SNAPSHOT))
    try:
        whole = bool(snapshots) and json.loads(snapshots[-1].read_text())
    except ValueError:
        return False
    return bool(whole) and all(path.read_bytes().endswith(b".") for path in state.glob("*.pkl"))


def _trial(config: dict[str, Any], run: Run, aim: Aim, coding: Any, book: Path) -> None:
    """One trial: run, and tell Tune of every report.

    One that the book says is over is told as it ended: Ray's snapshot may have missed that.
    """
    from ray import tune

    from genlib.tuning.trial_log import over

    past, seen = over(book, tune.get_context().get_trial_id()), 0
    if past:
        told: dict[str, Any] = aim.lost() if past.reason else aim.told(past.metrics)
        tune.report({PROGRESS: past.images_seen, **told, "scores": past.metrics})
        return
    with tempfile.TemporaryDirectory() as kept:
        folder, before = Path(kept), tune.get_checkpoint()
        if before:
            before.to_directory(kept)
        try:
            for report in run(coding.decode(config), folder):
                seen = report.images_seen
                told = {PROGRESS: seen, **aim.told(report.metrics), "scores": dict(report.metrics)}
                checkpoint = tune.Checkpoint.from_directory(kept) if any(folder.iterdir()) else None
                tune.report(told, checkpoint=checkpoint)
        except GivenUp as loss:
            _lose(aim, seen, loss.status, loss.reason)
        except ArithmeticError as error:
            _lose(aim, seen, "diverged", f"{type(error).__name__}: {error}")
        except Exception as error:
            _lose(aim, seen, "error", f"{type(error).__name__}: {error}")


def _lose(aim: Aim, seen: int, status: Status, reason: str) -> None:
    """The last report of a trial that came to nothing."""
    from ray import tune

    tune.report({PROGRESS: seen, **aim.lost(), "scores": {}, "status": status, "reason": reason})
