"""Where data, model, objective and loop meet: a job in, progress out, state on disk.

A job holds everything that determines the weights, so its digest names the folder its state lives in: the same job
goes on from its last checkpoint, a changed one starts afresh.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genlib.data.dataset import Dataset, load_dataset
from genlib.data.images import Images, to_pixels
from genlib.data.streaming import StreamedImages
from genlib.errors import InputError, unknown_name
from genlib.files import file_sha256, with_checksum
from genlib.objectives.common.phases import Objective
from genlib.registry import build
from genlib.training.diagnostics import is_gan, sample_diversity
from genlib.training.loop import LoopConfig, Progress, train
from genlib.training.overrides import flatten_options, resolve_ratios
from genlib.training.process_group import ProcessGroup
from genlib.training.schedule import Schedule
from genlib.training.state import (
    AdamConfig,
    TrainState,
    checksum_ok,
    latest_checkpoint,
    list_checkpoints,
    read_final_weights,
)

SAMPLE_GRID_SIZE = 64
MAX_SAMPLE_GRIDS = 20
MAX_PARAMETERS = 2**31  # parameters of a model
_CODE_FILES = ("genlib/training/fit.py", "genlib/data/batches.py", "genlib/data/streaming.py")
_CODE_FOLDERS = ("genlib/models/layers", "genlib/models/layers/cpu", "genlib/objectives/common", "genlib/training")


@dataclass(frozen=True)
class TrainConfig:
    """The `train` section as one model sees it; `lr_by_phase` overrides `lr` for the turn it names. A pair of `workers`
    is the least and the most."""

    total_images: int
    batch_size: int = 128
    workers: int | Sequence[int] = 0
    seed: int = 0
    lr: float = 1e-3
    lr_by_phase: dict[str, float] = field(default_factory=dict)
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    schedule: Schedule = "constant"
    warmup_fraction: float = 0.0
    decay_start: float = 0.0
    ema: float = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    report_every: int = 20_000
    checkpoint_every: int = 100_000


@dataclass(frozen=True)
class TrainingJob:
    """One training run: what to build, how to train it, on which prepared data, with its state in which folder.

    `mark` is what its checkpoints are told from those of other jobs by: its digest, where one looks.
    """

    name: str
    model: dict[str, Any]
    objective: dict[str, Any]
    train: TrainConfig
    data_dir: Path
    checkpoint_dir: Path | None = None
    digest: str = ""

    def compute_digest(self) -> str:
        """16 hex digits of params, data and code: two jobs with one digest give the same weights."""
        facts = {
            "model": self.model,
            "objective": self.objective,
            "train": asdict(self.train),
            "data": load_dataset(self.data_dir).sha256,
            "code": [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.code_files()],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def options(self) -> dict[str, Any]:
        """Every option by its dotted key, with the value that it has."""
        return flatten_options(self.model, self.objective, asdict(self.train))

    def with_overrides(self, overrides: Mapping[str, Any]) -> TrainingJob:
        """This job with other values at dotted keys (`model.width`, `train.lr_g`) or ratios (`train.lr_d/lr_g`)."""
        model, objective, train = dict(self.model), dict(self.objective), asdict(self.train)
        rates = {f"lr_{turn}": rate for turn, rate in train.pop("lr_by_phase").items()}
        parts = {"model": model, "objective": objective, "train": train}
        for key, value in resolve_ratios(overrides, self.options()).items():
            part, _, option = key.partition(".")
            place = rates if option.startswith("lr_") else parts[part]
            place[option] = value
        by_turn = {name.removeprefix("lr_"): rate for name, rate in rates.items()}
        return replace(self, model=model, objective=objective, train=TrainConfig(**train, lr_by_phase=by_turn))

    def code_files(self) -> list[Path]:
        """The files whose content decides what this job computes."""
        root = Path(__file__).parents[2]
        named = [
            f"genlib/models/{self.model['name']}.py",
            f"genlib/objectives/{self.objective['name']}.py",
            *_CODE_FILES,
        ]
        return [root / name for name in named] + [
            path for each in _CODE_FOLDERS for path in sorted((root / each).glob("*.py"))
        ]


@dataclass(frozen=True)
class TrainingData:
    """What a job may learn from, on the training device: training images as batches take them, those at hand (all, or
    some of a large set) and validation images, and the other domain's training images for an objective that learns
    from a pair."""

    train_stream: Images | StreamedImages
    train_subset: Images
    valid: Images
    domain_b: Images | StreamedImages | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset, objective: Objective, device: torch.device) -> TrainingData:
        """Two domains are united only where they have the same classes."""
        other = dataset.domain_b
        if objective.domains == "union" and other and other.classes == dataset.classes:
            near, valid = (
                (dataset.in_memory_subset + other.in_memory_subset).to(device),
                (dataset.valid + other.valid).to(device),
            )
            if not dataset.is_large and not other.is_large:
                return cls(near, near, valid)
            return cls(
                (StreamedImages.from_images(dataset.train_stream) + StreamedImages.from_images(other.train_stream)).to(
                    device
                ),
                near,
                valid,
            )
        second = other.train_stream.to(device) if objective.domains == "pair" and other else None
        stream = dataset.train_stream.to(device)
        near = stream if isinstance(stream, Images) else dataset.in_memory_subset.to(device)
        return cls(stream, near, dataset.valid.to(device), second)


def fit(
    job: TrainingJob,
    group: ProcessGroup | None = None,
    dataset: Dataset | None = None,
    should_stop: Callable[[], bool] = bool,
) -> Iterator[Progress]:
    """Train `job` as one member of `group`, going on from the newest intact checkpoint in `job.state`.

    The reports made before a resumed checkpoint are yielded again first, so the stream is whole every time. `dataset`
    is the job's own where it is loaded already (a sweep hands the same tensors to every trial). Rank 0 writes the
    checkpoints and draws the samples. Where rank 0 is `halted`, the next report is the last: a checkpoint is written
    there.

    A model may have two moments of its own: `adapt(train, valid)` before the first step, for what it takes from the
    data (the mean image, their range), and `conclude(train, valid)` of the averaged model after the last one, for what
    is fitted to the trained network (a temperature, a mixture of its codes).

    Raises:
        InputError: the job names what does not exist, or its parts do not fit.
        Diverged: the loss stopped being finite.
    """
    group = group or ProcessGroup.current()
    dataset = dataset or load_dataset(job.data_dir)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state, plan = build_train_state(job, dataset.shape, len(dataset.classes), dataset.num_domains, device)
    state.job_digest = job.digest
    known = TrainingData.from_dataset(dataset, build_objective(job), device)
    for model in (state.model, state.ema):
        _call_hook("on_fit_start", model, known)
    if job.checkpoint_dir:
        _resume(state, job.checkpoint_dir, group)
    for row in state.history or [{"images_seen": 0}]:
        metrics = {name: value for name, value in row.items() if name != "images_seen"}
        yield Progress(int(row["images_seen"]), plan.total_images, metrics, resumed=True)

    for progress in train(state, known.train_stream, plan, group, known.domain_b):
        if progress.is_done:
            _call_hook("on_fit_end", state.ema, known)
        health = sample_diversity(state.ema, known.train_subset) if group.is_main and is_gan(state.ema) else {}
        state.history[-1].update(health)
        last = bool(group.broadcast_int(int(group.is_main and should_stop())))
        due = progress.checkpoint_due or last
        if due and job.checkpoint_dir and group.is_main:
            state.save(job.checkpoint_dir)
        shown = draw_sample_grid(state.ema) if group.is_main and _is_grid_due(progress, plan) else None
        metrics = {**progress.metrics, **health}
        yield replace(progress, metrics=metrics, checkpoint_due=due, model=state.ema, samples=shown)
        if last:
            return


def build_objective(job: TrainingJob) -> Objective:
    objective: Objective = build("objectives", job.objective, where=f"models.{job.name}.objective")
    return objective


def build_train_state(
    job: TrainingJob, shape: tuple[int, int, int], num_classes: int, num_domains: int, device: torch.device
) -> tuple[TrainState, LoopConfig]:
    """The state of `job` before its first step on so many domains of images of this shape and so many classes, and its
    plan.

    Raises:
        InputError: an option is not expected, the model and the objective do not fit, or the data lack what they need.
    """
    settings = job.train
    where = f"models.{job.name}"
    torch.manual_seed(settings.seed)
    model = build("models", job.model, shape, num_classes, where=f"{where}.model")
    objective = build_objective(job)
    if objective.domains == "pair" and num_domains < 2:
        raise InputError(f"{where}.objective: got one domain of images, expected two, named by data and data.domain_b")
    size = sum(parameter.numel() for parameter in model.parameters())
    if size > MAX_PARAMETERS:
        raise InputError(f"{where}.model: got {size:,} parameters, expected at most {MAX_PARAMETERS:,}")
    model = model.to(device, memory_format=torch.channels_last)
    try:
        turns = objective.phases(model)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    state = TrainState.create(model, turns, build_adam_configs(job, [turn.name for turn in turns]))
    return state, build_loop_config(settings, device)


def _call_hook(name: str, model: nn.Module, data: TrainingData) -> None:
    """Call the model's own `adapt` or `conclude`, where it has one, on what is known."""
    if hasattr(model, name):
        with torch.no_grad():
            getattr(model, name)(data.train_subset, data.valid)


def build_adam_configs(job: TrainingJob, phase_names: list[str]) -> dict[str, AdamConfig]:
    """Each turn's Adam; a rate given for a turn that the objective does not take is refused."""
    settings = job.train
    for name in settings.lr_by_phase:
        if name not in phase_names:
            raise unknown_name(
                f"models.{job.name}.train.lr_{name}", f"lr_{name}", [f"lr_{turn}" for turn in phase_names]
            )
    rates = {turn: settings.lr_by_phase.get(turn, settings.lr) for turn in phase_names}
    return {turn: AdamConfig(rate, settings.beta1, settings.beta2, settings.eps) for turn, rate in rates.items()}


def build_loop_config(train_config: TrainConfig, device: torch.device) -> LoopConfig:
    """The loop's plan; `precision: auto` is bfloat16 where the device computes in it, float32 elsewhere."""
    chosen = train_config.precision if train_config.precision != "auto" else native_precision(device)
    own = {f.name for f in fields(LoopConfig)} - {"precision"}
    return LoopConfig(**{k: v for k, v in asdict(train_config).items() if k in own}, precision=chosen)


def native_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 on GPUs and on CPUs with AVX-512 bf16 instructions, where it is the faster one."""
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def draw_sample_grid(model: nn.Module) -> Tensor | None:
    """The first images of seed 0 as pixels, from a model that samples."""
    return to_pixels(model.sample(SAMPLE_GRID_SIZE, seed=0)).cpu() if hasattr(model, "sample") else None  # type: ignore[operator]


def save_model(job: TrainingJob, folder: Path) -> None:
    """Write the model folder of a finished job: averaged weights, raw weights beside them, and what rebuilds it.

    Raises:
        InputError: the job has no finished state.
    """
    found = latest_checkpoint(job.checkpoint_dir) if job.checkpoint_dir else None
    if found is None or int(found.stem.partition("-")[0]) < job.train.total_images:
        raise InputError(
            f"{job.checkpoint_dir}: got no finished state of {job.name}, expected a job that ran to its end"
        )
    averaged, raw, history = read_final_weights(found)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(averaged, partial / "model.safetensors")
    save_file(raw, partial / "raw.safetensors")
    config = with_checksum({**build_model_config(job), "model_sha256": file_sha256(partial / "model.safetensors")})
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (partial / "history.tsv").write_text(history_to_tsv(history))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def build_model_config(job: TrainingJob) -> dict[str, Any]:
    """What `config.json` says of a job: what rebuilds the model, and what it was trained by and on."""
    dataset = load_dataset(job.data_dir)
    return {
        "name": job.name,
        "model": job.model,
        "objective": job.objective,
        "train": asdict(job.train),
        "shape": dataset.shape,
        "classes": len(dataset.classes),
        "data_sha256": dataset.sha256,
    }


def history_to_tsv(rows: list[dict[str, float]]) -> str:
    """Reports as tab-separated text: `images_seen` first, a column for all that was ever reported, blank where not."""
    columns = list(dict.fromkeys(["images_seen", *(name for row in rows for name in row)]))
    lines = [columns, *([f"{row[name]:.9g}" if name in row else "" for name in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _resume(state: TrainState, checkpoint_dir: Path, group: ProcessGroup) -> None:
    """Load rank 0's newest intact checkpoint, if there is one, on every rank."""
    found = latest_checkpoint(checkpoint_dir) if group.is_main else None
    seen = group.broadcast_int(int(found.stem.partition("-")[0]) if found else -1)
    if seen >= 0:
        same = (
            path
            for path in list_checkpoints(checkpoint_dir)
            if path.name.startswith(f"{seen:012d}") and checksum_ok(path)
        )
        state.load(found or next(same))


def _is_grid_due(progress: Progress, config: LoopConfig) -> bool:
    """Whether this report is one of the at most `GRIDS` that carry samples."""
    every = max(config.report_every, config.total_images // MAX_SAMPLE_GRIDS)
    return progress.is_done or progress.images_seen // every > (progress.images_seen - config.report_every) // every
