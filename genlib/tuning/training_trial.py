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

from genlib.distributed.train import train_distributed
from genlib.training.fit import fit
from genlib.training.gan_state import CollapseStopper
from genlib.training.job import TrainingJob
from genlib.training.loop import Progress
from genlib.tuning.trial import TrialPruned, TrialReport

ScoreFn = Callable[[Any], dict[str, float]]


@dataclass(frozen=True)
class TrainingTrial:
    """`job` with a trial's knobs, `score` gives metrics of the averaged model, which
    stand before those of training in every report.

    Where the job has workers the trial holds a Ray Train job, whose checkpoints lie in `shared`, a folder that every
    node sees.
    """

    job: TrainingJob
    score_model: ScoreFn
    shared_dir: Path
    num_threads: int = 1

    def __call__(self, hyperparameters: dict[str, Any], folder: Path) -> Iterator[TrialReport]:
        """Raises GivenUp where most generated images have a twin for too long."""
        job, patience = self.job.with_overrides(hyperparameters), CollapseStopper(self.job.train.total_images)
        for progress in (
            self._train_on_workers(job, hyperparameters) if job.train.workers else self._train_in_process(job, folder)
        ):
            lost = patience.should_stop(progress.images_seen, progress.metrics)
            if progress.resumed:
                continue
            yield TrialReport(progress.images_seen, progress.metrics)
            if lost:
                raise TrialPruned("collapsed", "most generated images have a twin")

    def add_scores(self, progress: Progress) -> Progress:
        """The report without its model, with what that scores."""
        if progress.resumed:
            return progress
        scores = self.score_model(progress.model)
        return replace(progress, metrics=scores | dict(progress.metrics) | scores, model=None, samples=None)

    def _train_in_process(self, job: TrainingJob, folder: Path) -> Iterator[Progress]:
        import torch

        torch.set_num_threads(self.num_threads)
        return map(self.add_scores, fit(replace(job, checkpoint_dir=folder)))

    def _train_on_workers(self, job: TrainingJob, hyperparameters: dict[str, Any]) -> Iterator[Progress]:
        """Ray Train calls, and Ray Tune asks: a thread between the two.

        The last report waits until Ray Train has ended: Ray Tune ends the trial's process with it, and the CPUs of an
        orphaned group of workers would stay taken.
        """
        name = hashlib.sha256(json.dumps(hyperparameters, sort_keys=True).encode()).hexdigest()[:16]
        told: Queue[Progress | BaseException | None] = Queue()

        def train() -> None:
            try:
                state = self.shared_dir / "states" / name
                train_distributed(
                    replace(job, checkpoint_dir=state),
                    str(self.shared_dir / "train"),
                    name,
                    told.put,
                    postprocess=self.add_scores,
                )
                told.put(None)
            except BaseException as error:
                told.put(error)

        threading.Thread(target=train, daemon=True, name="train").start()
        last: list[Progress] = []
        while (progress := told.get()) is not None:
            if isinstance(progress, BaseException):
                raise progress
            if progress.is_done:
                last = [progress]
            else:
                yield progress
        yield from last
