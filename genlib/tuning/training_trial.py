"""A trial that trains a model: a job with other hyperparameters, scored at every report."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any

import torch

from genlib.distributed.train import train_distributed
from genlib.files import json_sha256
from genlib.training.fit import fit
from genlib.training.gan_state import CollapseStopper
from genlib.training.job import TrainingJob
from genlib.training.loop import Progress
from genlib.tuning.trial import TrialPruned, TrialReport


@dataclass(frozen=True)
class TrainingTrial:
    """`job` with the hyperparameters of a trial; the metrics of `score_model` come first in every report.
    A job with workers is a Ray Train job, whose checkpoints lie in `shared_dir`, a folder that every node sees."""

    job: TrainingJob
    score_model: Callable[[Any], dict[str, float]]
    shared_dir: Path
    num_threads: int = 1

    def __call__(self, hyperparameters: dict[str, Any], folder: Path) -> Iterator[TrialReport]:
        """Raises TrialPruned where most generated images are near-duplicates for too long."""
        job = self.job.with_overrides(hyperparameters)
        stopper = CollapseStopper(job.train.total_images)
        if job.train.workers:
            reports = self._train_on_workers(job, json_sha256(hyperparameters)[:16])
        else:
            torch.set_num_threads(self.num_threads)
            reports = map(self.add_scores, fit(replace(job, checkpoint_dir=folder)))
        for progress in reports:
            should_stop = stopper.should_stop(progress.images_seen, progress.metrics)
            if progress.resumed:
                continue
            yield TrialReport(progress.images_seen, progress.metrics)
            if should_stop:
                raise TrialPruned("collapsed", "most generated images are near-duplicates")

    def add_scores(self, progress: Progress) -> Progress:
        """The report with the scores of its model, and without the model."""
        if progress.resumed:
            return progress
        scores = self.score_model(progress.model)
        return replace(progress, metrics=scores | dict(progress.metrics) | scores, model=None, samples=None)

    def _train_on_workers(self, job: TrainingJob, name: str) -> Iterator[Progress]:
        """Ray Train calls back and Ray Tune iterates: a thread stands between the two. The last report waits until Ray
        Train has ended: Ray Tune ends the process with it, and an orphaned group of workers would keep its CPUs."""
        job = replace(job, checkpoint_dir=self.shared_dir / "states" / name)
        messages: Queue[Progress | BaseException | None] = Queue()

        def train() -> None:
            try:
                storage = str(self.shared_dir / "train")
                train_distributed(job, storage, name, messages.put, postprocess=self.add_scores)
                messages.put(None)
            except BaseException as error:  # the trial raises it in its own thread
                messages.put(error)

        threading.Thread(target=train, daemon=True, name="train").start()
        final_report: list[Progress] = []
        while (message := messages.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            if message.is_done:
                final_report = [message]
            else:
                yield message
        yield from final_report
