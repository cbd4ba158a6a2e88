"""A trial that trains a model: a job with other knobs, scored at every report."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any

from genlib.data.dataset import Dataset
from genlib.distributed.train import launch
from genlib.training.fit import Job, fit
from genlib.training.gan_state import Patience
from genlib.training.loop import Progress
from genlib.tuning.trial import GivenUp, Report

Score = Callable[[Any], dict[str, float]]


@dataclass(frozen=True)
class JobTrial:
    """`job` with a trial's knobs, on `dataset`, which is the job's; `score` gives metrics of the averaged model, which
    stand before those of training in every report.

    Where the job has workers the trial holds a Ray Train job, whose checkpoints lie in `shared`, a folder that every
    node sees.
    """

    job: Job
    score: Score
    dataset: Dataset
    shared: Path
    threads: int = 1

    def __call__(self, knobs: dict[str, Any], folder: Path) -> Iterator[Report]:
        """Raises GivenUp where most generated images have a twin for too long."""
        job, patience = self.job.changed(knobs), Patience(self.job.train.images)
        for progress in self._together(job, knobs) if job.train.workers else self._alone(job, folder):
            lost = patience.lost(progress.images_seen, progress.metrics)
            if progress.resumed:
                continue
            yield Report(progress.images_seen, progress.metrics)
            if lost:
                raise GivenUp("collapsed", "most generated images have a twin")

    def scored(self, progress: Progress) -> Progress:
        """The report without its model, with what that scores."""
        if progress.resumed:
            return progress
        scores = self.score(progress.model)
        return replace(progress, metrics=scores | dict(progress.metrics) | scores, model=None, samples=None)

    def _alone(self, job: Job, folder: Path) -> Iterator[Progress]:
        import torch

        torch.set_num_threads(self.threads)
        return map(self.scored, fit(replace(job, state=folder), dataset=self.dataset))

    def _together(self, job: Job, knobs: dict[str, Any]) -> Iterator[Progress]:
        """Ray Train calls, and Ray Tune asks: a thread between the two.

        The last report waits until Ray Train has ended: Ray Tune ends the trial's process with it, and the CPUs of an
        orphaned group of workers would stay taken.
        """
        name = hashlib.sha256(json.dumps(knobs, sort_keys=True).encode()).hexdigest()[:16]
        told: Queue[Progress | BaseException | None] = Queue()

        def train() -> None:
            try:
                state = self.shared / "states" / name
                launch(replace(job, state=state), str(self.shared / "train"), name, told.put, look=self.scored)
                told.put(None)
            except BaseException as error:
                told.put(error)

        threading.Thread(target=train, daemon=True, name="train").start()
        last: list[Progress] = []
        while (progress := told.get()) is not None:
            if isinstance(progress, BaseException):
                raise progress
            if progress.done:
                last = [progress]
            else:
                yield progress
        yield from last
