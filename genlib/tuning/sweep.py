"""A sweep of one model: what its trials do, what is sought, and where it goes on from when it is called again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.data.dataset import load_dataset
from genlib.errors import InputError
from genlib.evaluation.evaluator import Evaluator, TrialScorer
from genlib.files import file_sha256
from genlib.metrics.constraints import build_constraints
from genlib.metrics.registry import get_metric
from genlib.training.overrides import current_value
from genlib.tuning.console import TrialConsole
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import Resources, SearchConfig, search
from genlib.tuning.searchers import reports_per_trial
from genlib.tuning.training_trial import TrainingTrial
from pipelines.stage import PREPARED_DIR, TUNING_CLASSIFIER, Stage

if TYPE_CHECKING:
    from genlib.tracking.run_folder import RunFolder
    from genlib.training.job import TrainingJob
    from genlib.tuning.trial import Trial

MAX_SCORED_IMAGES = 1000  # images, at the most, by which a trial is scored


class Sweep:
    """The search of `stage`: judge A scores its trials on validation images, and neither test images nor judge B are
    looked at."""

    def __init__(self, stage: Stage, run: RunFolder) -> None:
        section, dataset = stage.params.tune, load_dataset(PREPARED_DIR)
        self.title, self.run, self.tune_params = stage.title, run, section
        self.search_space = stage.params.models[stage.model_name].search_space
        self.job = trial_job(stage)
        self.current_values = {key: current_value(key, self.job.options()) for key in self.search_space}
        self.metric_names = tuple(dict.fromkeys((section.metric, section.second_metric, *section.constraints)))
        rehearsal = TrialScorer(
            Evaluator.from_folder(TUNING_CLASSIFIER, dataset),
            self.metric_names,
            min(MAX_SCORED_IMAGES, stage.params.evaluate.samples),
            stage.params.evaluate.seed,
        )
        self.search_objective = SearchObjective(
            section.metric,
            "lower" if get_metric(section.metric).better == "lower" else "higher",
            tuple(build_constraints(section.constraints, rehearsal.baselines())),
            section.second_metric if section.searcher == "multi_objective" else "",
        )
        self.folder = prepare_state_dir(stage, self.job)
        cpus = max(1, int(section.resources.cpu))
        self.trainable = TrainingTrial(replace(self.job, dataset=dataset.load_for_workers()), rehearsal, self.folder / "workers", cpus)
        self.search_config = SearchConfig(
            self.search_space,
            self.search_objective,
            section.trials,
            self.job.train.total_images,
            section.searcher,
            points_to_evaluate=[self.current_values],
            time_limit_minutes=section.time_limit_minutes,
            resources=Resources(**section.resources.model_dump()),
            seed=self.job.train.seed,
            frozen_keys=[key for key in self.search_space if key.startswith("model.")],
        )

    def run_trials(self) -> list[Trial]:
        """The trials, the first with the current params."""
        with TrialConsole(self, self.run, self.search_config.num_trials) as board:
            return search(self.trainable, self.search_config, self.folder / "search", board)

    def rerun_near_ties(self, trials: Sequence[Trial]) -> dict[int, list[Trial]]:
        """Runs of the near ties with other seeds, by the number of the trial they repeat."""
        near = self.search_objective.near_ties(trials)
        more = self.tune_params.finalist_seeds - 1
        if len(near) < 2 or not more:
            return {}
        seeds = [self.job.train.seed + 1 + each for each in range(more)]
        points = [trial.hyperparameters | {"train.seed": seed} for trial in near for seed in seeds]
        plan = replace(
            self.search_config,
            space={**self.search_space, "train.seed": {"choice": seeds}},
            num_trials=len(points),
            searcher="random_no_pruning",
            points_to_evaluate=points,
            time_limit_minutes=None,
        )
        with TrialConsole(self, self.run, len(points), "repeat") as board:
            runs = search(self.trainable, plan, self.folder / "repeats", board)
        return {trial.number: runs[place * more : (place + 1) * more] for place, trial in enumerate(near)}

    def delete_state(self) -> None:
        """Forget where the search would go on from."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def trial_job(stage: Stage) -> TrainingJob:
    """What a trial trains: it reports often enough for the lowest rung, and keeps its state as often."""
    section = stage.params.tune
    every = max(1, section.images_per_trial // reports_per_trial(section.searcher))
    return stage.build_job(
        total_images=section.images_per_trial, workers=section.resources.workers, report_every=every, checkpoint_every=every
    )


def prepare_state_dir(stage: Stage, job: TrainingJob) -> Path:
    """Where the state of this very search lies: by the digest of all that decides it. Those of others are removed.

    Raises:
        InputError: `ray.storage_path` is not a folder.
    """
    if "://" in stage.storage_path:
        expected = "a folder that every node sees, where a sweep keeps its trials"
        raise InputError(f"params.yaml: ray.storage_path: got {stage.storage_path!r}, expected {expected}")
    facts: dict[str, Any] = {
        "job": job.digest,
        "search": stage.params.models[stage.model_name].search_space,
        "tune": stage.params.tune.model_dump(exclude={"models", "refit"}),
        "evaluate": [stage.params.evaluate.samples, stage.params.evaluate.seed],
        "judge": file_sha256(TUNING_CLASSIFIER / "model.safetensors"),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    home = Path(stage.storage_path) / stage.title.replace(" ", "-")
    for other in home.glob("*"):
        if other.name != digest:
            shutil.rmtree(other)
    return home / digest
