"""Train a job: build data, model and objective, run the loop, write checkpoints, yield progress."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_pixels
from genlib.data.streaming import StreamedImages
from genlib.errors import InputError, unknown_name
from genlib.objectives.common.phases import Objective
from genlib.registry import build
from genlib.training.accumulation import require_separable_batch
from genlib.training.checkpoints import latest_checkpoint, usable_checkpoints
from genlib.training.config import TrainConfig
from genlib.training.diagnostics import is_gan, sample_diversity
from genlib.training.job import TrainingJob, TrainingSpec
from genlib.training.loop import Progress, train
from genlib.training.process_group import ProcessGroup
from genlib.training.state import TrainState

SAMPLE_GRID_SIZE = 64
MAX_SAMPLE_GRIDS = 20
MAX_PARAMETERS = 2**31


@dataclass(frozen=True)
class TrainingData:
    """What a job learns from, on the training device. `train_stream`: training images as batches take them;
    `train_subset`: those in memory, all or some of a large set; `domain_b`: those of the other domain, for a pair."""

    train_stream: Images | StreamedImages
    train_subset: Images
    valid: Images
    domain_b: Images | StreamedImages | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset, objective: Objective, device: torch.device) -> Self:
        """Two domains are united only where they have the same classes."""
        other = dataset.domain_b
        is_union = objective.domains == "union" and other and other.classes == dataset.classes
        domains = [dataset, other] if is_union and other else [dataset]
        subset = Images.concat([domain.in_memory_subset for domain in domains]).to(device)
        valid = Images.concat([domain.valid for domain in domains]).to(device)
        stream: Images | StreamedImages = subset
        if not all(isinstance(domain.train_stream, Images) for domain in domains):
            first, *rest = (StreamedImages.from_images(domain.train_stream) for domain in domains)
            stream = sum(rest, first).to(device)
        domain_b = other.train_stream.to(device) if objective.domains == "pair" and other else None
        return cls(stream, subset, valid, domain_b)


def fit(
    job: TrainingJob, group: ProcessGroup | None = None, should_stop: Callable[[], bool] = bool
) -> Iterator[Progress]:
    """Train `job` as one member of `group`, going on from the newest intact checkpoint in `job.checkpoint_dir`, whose
    reports are yielded again first. Rank 0 writes the checkpoints and draws the samples; once its `should_stop` is
    true, the next report is the last, with a checkpoint.

    A model may have two hooks: `on_fit_start(train, valid)` before the first step, for statistics of the data, and
    `on_fit_end(train, valid)` of the averaged model after the last one, for what is fitted to the trained network.

    Raises:
        InputError: the job names what does not exist, or its parts do not fit.
        TrainingDiverged: the loss stopped being finite.
    """
    group = group or ProcessGroup.current()
    config, dataset = job.train, job.dataset
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    objective = build_objective(job)
    state = build_train_state(job, objective, dataset.shape, len(dataset.classes), dataset.num_domains, device)
    data = TrainingData.from_dataset(dataset, objective, device)
    for model in (state.model, state.ema):
        _call_hook("on_fit_start", model, data)
    _resume(state, job.checkpoint_dir, group)
    for row in state.history or [{"images_seen": 0}]:
        metrics = {name: value for name, value in row.items() if name != "images_seen"}
        yield Progress(int(row["images_seen"]), config.total_images, metrics, resumed=True)

    for progress in train(state, data.train_stream, config, group, data.domain_b):
        if progress.is_done:
            _call_hook("on_fit_end", state.ema, data)
        diversity = sample_diversity(state.ema, data.train_subset) if group.is_main and is_gan(state.ema) else {}
        state.history[-1].update(diversity)
        stopping = bool(group.broadcast_int(int(group.is_main and should_stop())))
        checkpoint_due = progress.checkpoint_due or stopping
        if checkpoint_due and job.checkpoint_dir and group.is_main:
            state.save(job.checkpoint_dir, job.digest)
        yield replace(
            progress,
            metrics={**progress.metrics, **diversity},
            checkpoint_due=checkpoint_due,
            model=state.ema,
            samples=_draw_samples_if_due(state.ema, progress, config) if group.is_main else None,
        )
        if stopping:
            return


def build_objective(spec: TrainingSpec) -> Objective:
    objective: Objective = build("objectives", spec.objective, where=f"models.{spec.name}.objective")
    return objective


def build_train_state(
    spec: TrainingSpec,
    objective: Objective,
    shape: tuple[int, int, int],
    num_classes: int,
    num_domains: int,
    device: torch.device,
) -> TrainState:
    """The state before the first step; raises InputError where an option is not expected, the model and the objective
    do not fit, or the data lack what they need."""
    where = f"models.{spec.name}"
    torch.manual_seed(spec.train.seed)
    model = build("models", spec.model, shape, num_classes, where=f"{where}.model")
    if objective.domains == "pair" and num_domains < 2:
        raise InputError(f"{where}.objective: got one domain of images, expected two, named by data and data.domain_b")
    size = sum(parameter.numel() for parameter in model.parameters())
    if size > MAX_PARAMETERS:
        raise InputError(f"{where}.model: got {size:,} parameters, expected at most {MAX_PARAMETERS:,}")
    model = model.to(device, memory_format=torch.channels_last)
    try:
        phases = objective.phases(model)
        require_separable_batch(spec.train, objective, model)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    expected = [f"lr_{phase.name}" for phase in phases]
    for name in (f"lr_{phase}" for phase in spec.train.lr_by_phase):
        if name not in expected:
            raise unknown_name(f"{where}.train.{name}", name, expected)
    return TrainState.create(model, phases, spec.train)


def _draw_samples_if_due(model: nn.Module, progress: Progress, config: TrainConfig) -> Tensor | None:
    """At up to `MAX_SAMPLE_GRIDS` reports, the first images of seed 0 as pixels, from a model that samples."""
    every = max(config.report_every, config.total_images // MAX_SAMPLE_GRIDS)
    is_due = progress.is_done or progress.images_seen // every > (progress.images_seen - config.report_every) // every
    return to_pixels(model.sample(SAMPLE_GRID_SIZE, seed=0)).cpu() if is_due and hasattr(model, "sample") else None  # type: ignore[operator]


def _call_hook(name: str, model: nn.Module, data: TrainingData) -> None:
    if hasattr(model, name):
        with torch.no_grad():
            getattr(model, name)(data.train_subset, data.valid)


def _resume(state: TrainState, checkpoint_dir: Path | None, group: ProcessGroup) -> None:
    """Load rank 0's newest intact checkpoint, if there is one, on every rank."""
    found = latest_checkpoint(checkpoint_dir) if group.is_main else None
    images_seen = group.broadcast_int(found.images_seen if found else -1)
    if images_seen >= 0:
        same = (each for each in usable_checkpoints(checkpoint_dir) if each.images_seen == images_seen)
        state.load(found or next(same))
