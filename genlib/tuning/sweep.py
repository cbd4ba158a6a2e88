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
from genlib.evaluation.evaluator import Bench, Rehearsal
from genlib.files import file_sha256
from genlib.metrics.constraints import limits
from genlib.metrics.registry import find
from genlib.training.overrides import present
from genlib.tuning.console import Board
from genlib.tuning.objective import Aim
from genlib.tuning.search import Resources, Search, search
from genlib.tuning.searchers import reports
from genlib.tuning.training_trial import JobTrial
from pipelines.stage import JUDGE_A, PREPARED, Stage, Tracked

if TYPE_CHECKING:
    from genlib.training.fit import Job
    from genlib.tuning.trial import Trial

REHEARSED = 1000  # images, at the most, by which a trial is scored


class Sweep:
    """The search of `stage`: judge A scores its trials on validation images, and neither test images nor judge B are
    looked at."""

    def __init__(self, stage: Stage, tracked: Tracked) -> None:
        section, dataset = stage.params.tune, load_dataset(PREPARED)
        self.title, self.tracked, self.section = stage.title, tracked, section
        self.space = stage.params.models[stage.model].search
        self.job = job_of(stage)
        self.current = {key: present(key, self.job.options()) for key in self.space}
        self.asked = tuple(dict.fromkeys((section.metric, section.diversity, *section.limits)))
        rehearsal = Rehearsal(
            Bench.of(JUDGE_A, dataset),
            self.asked,
            min(REHEARSED, stage.params.evaluate.samples),
            stage.params.evaluate.seed,
        )
        self.aim = Aim(
            section.metric,
            "lower" if find(section.metric).better == "lower" else "higher",
            tuple(limits(section.limits, rehearsal.nulls())),
            section.diversity if section.searcher == "pareto" else "",
        )
        self.folder = folder_of(stage, self.job)
        cpus = max(1, int(section.resources.cpu))
        self.trial = JobTrial(self.job, rehearsal, dataset.held(), self.folder / "workers", cpus)
        self.plan = Search(
            self.space,
            self.aim,
            section.trials,
            self.job.train.images,
            section.searcher,
            points=[self.current],
            minutes=section.minutes,
            resources=Resources(**section.resources.model_dump()),
            seed=self.job.train.seed,
            for_life=[key for key in self.space if key.startswith("model.")],
        )

    def trials(self) -> list[Trial]:
        """The trials, the first with the current params."""
        with Board(self, self.tracked, self.plan.trials) as board:
            return search(self.trial, self.plan, self.folder / "search", board)

    def repeats(self, trials: Sequence[Trial]) -> dict[int, list[Trial]]:
        """Runs of the near ties with other seeds, by the number of the trial they repeat."""
        near = self.aim.contenders(trials)
        more = self.section.repeats - 1
        if len(near) < 2 or not more:
            return {}
        seeds = [self.job.train.seed + 1 + each for each in range(more)]
        points = [trial.knobs | {"train.seed": seed} for trial in near for seed in seeds]
        plan = replace(
            self.plan,
            space={**self.space, "train.seed": {"choice": seeds}},
            trials=len(points),
            searcher="random_full",
            points=points,
            minutes=None,
        )
        with Board(self, self.tracked, len(points), "repeat") as board:
            runs = search(self.trial, plan, self.folder / "repeats", board)
        return {trial.number: runs[place * more : (place + 1) * more] for place, trial in enumerate(near)}

    def close(self) -> None:
        """Forget where the search would go on from."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def job_of(stage: Stage) -> Job:
    """What a trial trains: it reports often enough for the lowest rung, and keeps its state as often."""
    section = stage.params.tune
    every = max(1, section.images // reports(section.searcher))
    return stage.job(
        images=section.images, workers=section.resources.workers, report_every=every, checkpoint_every=every
    )


def folder_of(stage: Stage, job: Job) -> Path:
    """Where the state of this very search lies: by the digest of all that decides it. Those of others are removed.

    Raises:
        InputError: `cluster.storage` is not a folder.
    """
    if "://" in stage.storage:
        legal = "a folder that every node sees, where a sweep keeps its trials"
        raise InputError(f"params.yaml: cluster.storage: found {stage.storage!r}, legal: {legal}")
    facts: dict[str, Any] = {
        "job": job.digest(),
        "search": stage.params.models[stage.model].search,
        "tune": stage.params.tune.model_dump(exclude={"models", "refit"}),
        "evaluate": [stage.params.evaluate.samples, stage.params.evaluate.seed],
        "judge": file_sha256(JUDGE_A / "model.safetensors"),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    home = Path(stage.storage) / stage.title.replace(" ", "-")
    for other in home.glob("*"):
        if other.name != digest:
            shutil.rmtree(other)
    return home / digest
