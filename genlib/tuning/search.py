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

from genlib.distributed.session import session, silence_ray_loggers
from genlib.signals import repeated_keyboard_interrupt
from genlib.errors import InputError, unknown_name
from genlib.tuning.objective import SearchObjective
from genlib.tuning.searchers import SEARCHERS, TIME_ATTR, Searcher, SearchSpec
from genlib.tuning.space import Hyperparameters, SearchSpace, SpaceCodec
from genlib.tuning.trial import Trial, TrialCallback, TrialPruned, TrialReport, TrialStatus

Trainable = Callable[[dict[str, Any], Path], Iterator[TrialReport]]
MAX_FAILURES = 3  # of a trial whose process dies
NUM_POPULATION_CHECKPOINTS = (
    9  # checkpoints of a trial of a population, which others may take over; a snapshot may lag behind by some
)
SNAPSHOT_PATTERN = "experiment_state-*.json"


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
class SearchConfig:
    """What to search: `space` holds a distribution for each knob ({"loguniform": [low, high]}, uniform, int or
    {"choice": [...]}), of `trials` trials that see `images` images in full.

    `searcher` is a name of `genlib.tuning.searchers`. `points` are the knobs of the first trials. No trial is begun or
    gone on with after `minutes`. `for_life`: knobs that a trial of a population keeps.
    """

    space: SearchSpace
    search_objective: SearchObjective
    num_trials: int
    images_per_trial: int
    searcher: str = "random"
    points_to_evaluate: Sequence[Hyperparameters] = ()
    time_limit_minutes: float | None = None
    resources: Resources = field(default_factory=Resources)
    seed: int = 0
    frozen_keys: Collection[str] = ()


def ignore_trial(trial: Trial) -> None:
    """Hear nothing."""


def search(
    trainable: Trainable, search_config: SearchConfig, folder: Path, on_trial: TrialCallback = ignore_trial
) -> list[Trial]:
    """Run the trials of `plan` and tell `hear` of each as it changes; returns them in the order of their start.

    `folder` holds the state of the search, on a disk that every node sees. The same call goes on with a search that was
    interrupted or killed: trials that ended are told of again but not repeated, others go on from what they kept last.
    A folder is for one plan: remove it when the trials are wanted no more.

    Raises:
        InputError: no node has what one trial asks for, or the searcher cannot search this space.
    """
    with session():
        from genlib.tuning.trial_log import TrialLog

        silence_ray_loggers()
        _check_search(search_config)
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        searcher = SEARCHERS[search_config.searcher](
            SearchSpec(
                search_config.space,
                search_config.images_per_trial,
                search_config.seed,
                search_config.points_to_evaluate,
                search_config.frozen_keys,
            ),
        )
        kept = None if searcher.population_based else folder / "ray"
        book = TrialLog(folder / "trial_log.json", searcher.codec, on_trial, search_config.images_per_trial, kept)
        left = (
            math.inf
            if search_config.time_limit_minutes is None
            else 60 * search_config.time_limit_minutes - book.seconds
        )
        for trial in book.ended_trials:
            on_trial(trial)
        if len(book.ended_trials) < search_config.num_trials and left > 0:
            _run_tune(trainable, search_config, searcher, folder, book, left)
    return [book.trials[number] for number in sorted(book.trials)]


def _check_search(search_config: SearchConfig) -> None:
    import ray

    if search_config.searcher not in SEARCHERS:
        raise unknown_name("searcher", search_config.searcher, SEARCHERS)
    wanted = {name: amount for name, amount in search_config.resources.bundle.items() if amount}
    found = ray.nodes()  # type: ignore[no-untyped-call]
    nodes = [node["Resources"] for node in found if node["Alive"]]
    if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        there = ", ".join(f"{max(node.get(name, 0) for node in nodes):g} {name}" for name in ("CPU", "GPU"))
        asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        raise InputError(f"tune.resources: got {asked} for a trial, expected what one node has, at the most {there}")


def _run_tune(
    trainable: Trainable,
    search_config: SearchConfig,
    searcher: Searcher,
    folder: Path,
    trial_log: Any,
    time_left_s: float,
) -> None:
    from ray import tune

    state = folder / "ray"
    if not _snapshot_is_intact(state):
        shutil.rmtree(state, ignore_errors=True)
        trial_log.drop_unfinished()
    with repeated_keyboard_interrupt(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about itself, and of the process that pb2 fits
        tune.run(
            tune.with_parameters(
                _run_trial,
                trial_function=trainable,
                search_objective=search_config.search_objective,
                codec=searcher.codec,
                trial_log_path=trial_log.path,
            ),
            name=state.name,
            storage_path=str(folder),
            resume="AUTO+ERRORED" if state.exists() else None,
            config=searcher.codec.ray_distributions(),
            num_samples=search_config.num_trials - trial_log.num_earlier_trials,
            search_alg=searcher.search_alg,
            scheduler=searcher.scheduler,
            resources_per_trial=search_config.resources.bundle,
            max_concurrent_trials=None
            if searcher.population_based
            else _num_concurrent_trials(search_config.resources),
            reuse_actors=not search_config.resources.workers,
            max_failures=MAX_FAILURES,
            raise_on_failed_trial=False,
            time_budget_s=None if math.isinf(time_left_s) else time_left_s,
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=NUM_POPULATION_CHECKPOINTS if searcher.population_based else None
            ),
            callbacks=[trial_log],
            verbose=0,
        )
    trial_log.stop_unfinished()


def _num_concurrent_trials(resources: Resources) -> int:
    """How many trials run at a time."""
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    wanted = {"CPU": resources.workers} if resources.workers else resources.bundle
    return max(1, int(min(there.get(name, 0) / amount for name, amount in wanted.items() if amount)))


def _snapshot_is_intact(tune_dir: Path) -> bool:
    """Whether there is a snapshot of a search by Ray, and none of its files was cut off while it was written."""
    snapshots = sorted(tune_dir.glob(SNAPSHOT_PATTERN))
    try:
        whole = bool(snapshots) and json.loads(snapshots[-1].read_text())
    except ValueError:
        return False
    return bool(whole) and all(path.read_bytes().endswith(b".") for path in tune_dir.glob("*.pkl"))


def _run_trial(
    config: dict[str, Any],
    trial_function: Trainable,
    search_objective: SearchObjective,
    codec: SpaceCodec,
    trial_log_path: Path,
) -> None:
    """One trial: run, and tell Tune of every report.

    One that the book says is over is told as it ended: Ray's snapshot may have missed that.
    """
    from ray import tune

    from genlib.tuning.trial_log import final_trial

    past, seen = final_trial(trial_log_path, tune.get_context().get_trial_id()), 0
    if past:
        told: dict[str, Any] = (
            search_objective.worst_values() if past.reason else search_objective.scalarize(past.metrics)
        )
        tune.report({TIME_ATTR: past.images_seen, **told, "scores": past.metrics})
        return
    with tempfile.TemporaryDirectory() as kept:
        folder, before = Path(kept), tune.get_checkpoint()
        if before:
            before.to_directory(kept)
        try:
            for report in trial_function(codec.from_ray_config(config), folder):
                seen = report.images_seen
                told = {TIME_ATTR: seen, **search_objective.scalarize(report.metrics), "scores": dict(report.metrics)}
                checkpoint = tune.Checkpoint.from_directory(kept) if any(folder.iterdir()) else None
                tune.report(told, checkpoint=checkpoint)
        except TrialPruned as loss:
            _report_failure(search_objective, seen, loss.status, loss.reason)
        except ArithmeticError as error:
            _report_failure(search_objective, seen, "diverged", f"{type(error).__name__}: {error}")
        except Exception as error:
            _report_failure(search_objective, seen, "error", f"{type(error).__name__}: {error}")


def _report_failure(search_objective: SearchObjective, images_seen: int, status: TrialStatus, reason: str) -> None:
    """The last report of a trial that came to nothing."""
    from ray import tune

    tune.report(
        {TIME_ATTR: images_seen, **search_objective.worst_values(), "scores": {}, "status": status, "reason": reason}
    )
