"""Ray Tune: many trials of one function that yields reports, each in an actor that the next trial reuses.

`genlib.tuning.training_trial` trains a model; docs/guide.md has a function of a few lines. What it writes into `folder`
is kept at every report. A trial whose process died starts again with the folder as it was kept last, and so does a
trial of a population that takes over another's state. What the function holds (a data set) is sent once.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.distributed.session import alive_nodes, report_waiting, require_shared_storage, session, silence_ray_loggers
from genlib.errors import InputError, unknown_name
from genlib.signals import repeated_keyboard_interrupt
from genlib.tuning.objective import SearchObjective
from genlib.tuning.searchers import SEARCHERS, TIME_ATTR, Resources, SearchConfig, Searcher
from genlib.tuning.space import SpaceCodec
from genlib.tuning.trial import Trial, TrialCallback, TrialPruned, TrialReport

if TYPE_CHECKING:
    from genlib.tuning.trial_log import TrialLog

Trainable = Callable[[dict[str, Any], Path], Iterator[TrialReport]]
MAX_FAILURES = 3  # of a trial whose process dies
NUM_POPULATION_CHECKPOINTS = 9  # of a trial, which others may take over; a snapshot may lag behind by some


def search(
    trainable: Trainable, config: SearchConfig, folder: Path, on_trial: TrialCallback = lambda trial: None
) -> list[Trial]:
    """Run the trials and call `on_trial` whenever one changes; returns them in the order of their proposal.

    `folder` keeps the state of the search of one config, on a disk that every node sees. The same call resumes a search
    that was interrupted or killed: `on_trial` is called again for trials that ended, which are not repeated; the others
    resume from their last report. Raises InputError where no node has what one trial asks for.
    """
    with session():
        from genlib.tuning.trial_log import TrialLog

        silence_ray_loggers()
        if config.searcher not in SEARCHERS:
            raise unknown_name("searcher", config.searcher, SEARCHERS)
        _check_resources(config.resources)
        require_shared_storage(str(folder))
        trial_log = TrialLog(folder.resolve(), config, SEARCHERS[config.searcher](config), on_trial)
        limit = config.time_limit_minutes
        time_left_s = None if limit is None else 60 * limit - trial_log.seconds
        for trial in trial_log.ended_trials:
            on_trial(trial)
        if len(trial_log.ended_trials) < config.num_trials and (time_left_s is None or time_left_s > 0):
            with report_waiting(folder.name, lambda line: print(line, file=sys.stderr)):
                _run_tune(trainable, config, trial_log, time_left_s)
        trial_log.stop_unfinished()
    return sorted(trial_log.trials.values(), key=lambda trial: trial.number)


def _check_resources(resources: Resources) -> None:
    required = {name: amount for name, amount in resources.bundle.items() if amount}
    nodes = [node["Resources"] for node in alive_nodes()]
    if not any(all(node.get(name, 0) >= amount for name, amount in required.items()) for node in nodes):
        there = ", ".join(f"{max(node.get(name, 0) for node in nodes):g} {name}" for name in ("CPU", "GPU"))
        asked = ", ".join(f"{amount:g} {name}" for name, amount in required.items())
        raise InputError(f"tune.resources: got {asked} for a trial, expected what one node has, at the most {there}")


def _run_tune(trainable: Trainable, config: SearchConfig, trial_log: TrialLog, time_left_s: float | None) -> None:
    from ray import tune

    searcher = trial_log.searcher
    num_checkpoints = NUM_POPULATION_CHECKPOINTS if searcher.population_based else None
    if not (trial_log.path.exists() and _snapshot_is_intact(trial_log.tune_dir)):
        shutil.rmtree(trial_log.tune_dir, ignore_errors=True)
        trial_log.drop_unfinished()
    trial_function = tune.with_parameters(
        _run_trial,
        function=trainable,
        objective=config.search_objective,
        codec=searcher.codec,
        log_path=trial_log.path,
    )
    with repeated_keyboard_interrupt(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about itself, and of the Gaussian process of pb2
        tune.run(
            trial_function,
            name=trial_log.tune_dir.name,
            storage_path=str(trial_log.path.parent),
            resume="AUTO+ERRORED" if trial_log.tune_dir.exists() else None,
            config=searcher.codec.ray_distributions(),
            num_samples=config.num_trials - len(trial_log.ended_trials),  # ignored by a search that resumes
            search_alg=searcher.search_alg,
            scheduler=searcher.scheduler,
            resources_per_trial=config.resources.bundle,
            max_concurrent_trials=_num_concurrent_trials(searcher, config.resources),
            reuse_actors=not config.resources.workers,
            max_failures=MAX_FAILURES,
            raise_on_failed_trial=False,
            time_budget_s=time_left_s,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=num_checkpoints),
            callbacks=[trial_log],
            verbose=0,
        )


def _num_concurrent_trials(searcher: Searcher, resources: Resources) -> int | None:
    import ray

    if searcher.population_based:
        return None
    available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    required = {"CPU": resources.workers} if resources.workers else resources.bundle
    return max(1, int(min(available.get(name, 0) / amount for name, amount in required.items() if amount)))


def _snapshot_is_intact(tune_dir: Path) -> bool:
    """Whether Ray has written a snapshot of its search here, and none of its files was cut off."""
    snapshots = sorted(tune_dir.glob("experiment_state-*.json"))
    try:
        content = bool(snapshots) and json.loads(snapshots[-1].read_text())
    except ValueError:
        return False
    return bool(content) and all(path.read_bytes().endswith(b".") for path in tune_dir.glob("*.pkl"))


def _run_trial(
    ray_config: dict[str, Any], function: Trainable, objective: SearchObjective, codec: SpaceCodec, log_path: Path
) -> None:
    """Run one trial and pass its reports to Tune; one that the log knows to have ended only reports how it ended, which
    Tune's snapshot may have missed."""
    from ray import tune

    from genlib.tuning.trial_log import read_trial_log

    earlier = read_trial_log(log_path)[1].get(tune.get_context().get_trial_id())
    if earlier and earlier.is_final:
        scalars = objective.scalarize({} if earlier.reason else earlier.metrics)
        tune.report({TIME_ATTR: earlier.images_seen, **scalars, "scores": earlier.metrics})
        return
    images_seen = 0
    with tempfile.TemporaryDirectory() as folder:
        if checkpoint := tune.get_checkpoint():
            checkpoint.to_directory(folder)
        try:
            for report in function(codec.from_ray_config(ray_config), Path(folder)):
                images_seen = report.images_seen
                scalars, scores = objective.scalarize(report.metrics), dict(report.metrics)
                kept = tune.Checkpoint.from_directory(folder) if any(Path(folder).iterdir()) else None
                tune.report({TIME_ATTR: images_seen, **scalars, "scores": scores}, checkpoint=kept)
        except Exception as error:  # a trial that fails costs the sweep that trial
            status = "diverged" if isinstance(error, ArithmeticError) else "error"
            end = {"status": status, "reason": f"{type(error).__name__}: {error}"}
            if isinstance(error, TrialPruned):
                end = {"status": error.status, "reason": error.reason}
            tune.report({TIME_ATTR: images_seen, **objective.scalarize({}), "scores": {}, **end})
