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
from genlib.data.streaming import Streamed
from genlib.errors import InputError, unknown
from genlib.files import file_sha256, with_checksum
from genlib.objectives.common.phases import Objective
from genlib.registry import build
from genlib.training.diagnostics import plays, repertoire
from genlib.training.loop import Plan, Progress, train
from genlib.training.overrides import options, resolved
from genlib.training.process_group import Group
from genlib.training.schedule import Schedule
from genlib.training.state import Adam, TrainState, checkpoints, finished, intact, newest

GRID = 64
GRIDS = 20
LARGEST = 2**31  # parameters of a model
_CODE = ("genlib/training/fit.py", "genlib/data/batches.py", "genlib/data/streaming.py")
_FOLDERS = ("genlib/models/layers", "genlib/models/layers/cpu", "genlib/objectives/common", "genlib/training")


@dataclass(frozen=True)
class Training:
    """The `train` section as one model sees it; `lr_by_turn` overrides `lr` for the turn it names. A pair of `workers`
    is the least and the most."""

    images: int
    batch_size: int = 128
    workers: int | Sequence[int] = 0
    seed: int = 0
    lr: float = 1e-3
    lr_by_turn: dict[str, float] = field(default_factory=dict)
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    schedule: Schedule = "constant"
    warmup: float = 0.0
    hold: float = 0.0
    ema: float = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    report_every: int = 20_000
    checkpoint_every: int = 100_000


@dataclass(frozen=True)
class Job:
    """One training run: what to build, how to train it, on which prepared data, with its state in which folder.

    `mark` is what its checkpoints are told from those of other jobs by: its digest, where one looks.
    """

    name: str
    model: dict[str, Any]
    objective: dict[str, Any]
    train: Training
    data: Path
    state: Path | None = None
    mark: str = ""

    def digest(self) -> str:
        """16 hex digits of params, data and code: two jobs with one digest give the same weights."""
        facts = {
            "model": self.model,
            "objective": self.objective,
            "train": asdict(self.train),
            "data": load_dataset(self.data).sha256,
            "code": [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.code()],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def options(self) -> dict[str, Any]:
        """Every option by its dotted key, with the value that it has."""
        return options(self.model, self.objective, asdict(self.train))

    def changed(self, knobs: Mapping[str, Any]) -> Job:
        """This job with other values at dotted keys (`model.width`, `train.lr_g`) or ratios (`train.lr_d/lr_g`)."""
        model, objective, train = dict(self.model), dict(self.objective), asdict(self.train)
        rates = {f"lr_{turn}": rate for turn, rate in train.pop("lr_by_turn").items()}
        parts = {"model": model, "objective": objective, "train": train}
        for key, value in resolved(knobs, self.options()).items():
            part, _, option = key.partition(".")
            place = rates if option.startswith("lr_") else parts[part]
            place[option] = value
        by_turn = {name.removeprefix("lr_"): rate for name, rate in rates.items()}
        return replace(self, model=model, objective=objective, train=Training(**train, lr_by_turn=by_turn))

    def code(self) -> list[Path]:
        """The files whose content decides what this job computes."""
        root = Path(__file__).parents[2]
        named = [f"genlib/models/{self.model['name']}.py", f"genlib/objectives/{self.objective['name']}.py", *_CODE]
        return [root / name for name in named] + [
            path for each in _FOLDERS for path in sorted((root / each).glob("*.py"))
        ]


@dataclass(frozen=True)
class Known:
    """What a job may learn from, on the training device: training images as batches take them, those at hand (all, or
    some of a large set) and validation images, and the other domain's training images for an objective that learns
    from a pair."""

    stream: Images | Streamed
    train: Images
    valid: Images
    other: Images | Streamed | None = None

    @classmethod
    def of(cls, dataset: Dataset, objective: Objective, device: torch.device) -> Known:
        """Two domains are united only where they have the same classes."""
        other = dataset.other
        if objective.domains == "union" and other and other.classes == dataset.classes:
            near, valid = (dataset.near + other.near).to(device), (dataset.valid + other.valid).to(device)
            if not dataset.large and not other.large:
                return cls(near, near, valid)
            return cls((Streamed.all(dataset.stream) + Streamed.all(other.stream)).to(device), near, valid)
        second = other.stream.to(device) if objective.domains == "pair" and other else None
        stream = dataset.stream.to(device)
        near = stream if isinstance(stream, Images) else dataset.near.to(device)
        return cls(stream, near, dataset.valid.to(device), second)


def fit(
    job: Job, group: Group | None = None, dataset: Dataset | None = None, halted: Callable[[], bool] = bool
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
    group = group or Group.current()
    dataset = dataset or load_dataset(job.data)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state, plan = start(job, dataset.shape, len(dataset.classes), dataset.domains, device)
    state.job = job.mark
    known = Known.of(dataset, objective_of(job), device)
    for model in (state.model, state.ema):
        _moment("adapt", model, known)
    if job.state:
        _resume(state, job.state, group)
    for row in state.history or [{"images_seen": 0}]:
        metrics = {name: value for name, value in row.items() if name != "images_seen"}
        yield Progress(int(row["images_seen"]), plan.images, metrics, resumed=True)

    for progress in train(state, known.stream, plan, group, known.other):
        if progress.done:
            _moment("conclude", state.ema, known)
        health = repertoire(state.ema, known.train) if group.leads and plays(state.ema) else {}
        state.history[-1].update(health)
        last = bool(group.agree(int(group.leads and halted())))
        due = progress.checkpoint or last
        if due and job.state and group.leads:
            state.save(job.state)
        shown = samples(state.ema) if group.leads and _shows(progress, plan) else None
        metrics = {**progress.metrics, **health}
        yield replace(progress, metrics=metrics, checkpoint=due, model=state.ema, samples=shown)
        if last:
            return


def objective_of(job: Job) -> Objective:
    objective: Objective = build("objectives", job.objective, where=f"models.{job.name}.objective")
    return objective


def start(
    job: Job, shape: tuple[int, int, int], classes: int, domains: int, device: torch.device
) -> tuple[TrainState, Plan]:
    """The state of `job` before its first step on so many domains of images of this shape and so many classes, and its
    plan.

    Raises:
        InputError: an option is not legal, the model and the objective do not fit, or the data lack what they need.
    """
    settings = job.train
    where = f"models.{job.name}"
    torch.manual_seed(settings.seed)
    model = build("models", job.model, shape, classes, where=f"{where}.model")
    objective = objective_of(job)
    if objective.domains == "pair" and domains < 2:
        raise InputError(f"{where}.objective: found one domain of images, legal: two, named by data and data.other")
    size = sum(parameter.numel() for parameter in model.parameters())
    if size > LARGEST:
        raise InputError(f"{where}.model: found {size:,} parameters, legal: at most {LARGEST:,}")
    model = model.to(device, memory_format=torch.channels_last)
    try:
        turns = objective.turns(model)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    state = TrainState.start(model, turns, optimizers(job, [turn.name for turn in turns]))
    return state, plan(settings, device)


def _moment(name: str, model: nn.Module, known: Known) -> None:
    """Call the model's own `adapt` or `conclude`, where it has one, on what is known."""
    if hasattr(model, name):
        with torch.no_grad():
            getattr(model, name)(known.train, known.valid)


def optimizers(job: Job, turns: list[str]) -> dict[str, Adam]:
    """Each turn's Adam; a rate given for a turn that the objective does not take is refused."""
    settings = job.train
    for name in settings.lr_by_turn:
        if name not in turns:
            raise unknown(f"models.{job.name}.train.lr_{name}", f"lr_{name}", [f"lr_{turn}" for turn in turns])
    rates = {turn: settings.lr_by_turn.get(turn, settings.lr) for turn in turns}
    return {turn: Adam(rate, settings.beta1, settings.beta2, settings.eps) for turn, rate in rates.items()}


def plan(settings: Training, device: torch.device) -> Plan:
    """The loop's plan; `precision: auto` is bfloat16 where the device computes in it, float32 elsewhere."""
    chosen = settings.precision if settings.precision != "auto" else native_precision(device)
    own = {f.name for f in fields(Plan)} - {"precision"}
    return Plan(**{k: v for k, v in asdict(settings).items() if k in own}, precision=chosen)


def native_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 on GPUs and on CPUs with AVX-512 bf16 instructions, where it is the faster one."""
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def samples(model: nn.Module) -> Tensor | None:
    """The first images of seed 0 as pixels, from a model that samples."""
    return to_pixels(model.sample(GRID, seed=0)).cpu() if hasattr(model, "sample") else None  # type: ignore[operator]


def save_model(job: Job, folder: Path) -> None:
    """Write the model folder of a finished job: averaged weights, raw weights beside them, and what rebuilds it.

    Raises:
        InputError: the job has no finished state.
    """
    found = newest(job.state) if job.state else None
    if found is None or int(found.stem.partition("-")[0]) < job.train.images:
        raise InputError(f"{job.state}: found no finished state of {job.name}, legal: a job that ran to its end")
    averaged, raw, history = finished(found)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(averaged, partial / "model.safetensors")
    save_file(raw, partial / "raw.safetensors")
    config = with_checksum({**describe(job), "model_sha256": file_sha256(partial / "model.safetensors")})
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (partial / "history.tsv").write_text(table(history))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def describe(job: Job) -> dict[str, Any]:
    """What `config.json` says of a job: what rebuilds the model, and what it was trained by and on."""
    dataset = load_dataset(job.data)
    return {
        "name": job.name,
        "model": job.model,
        "objective": job.objective,
        "train": asdict(job.train),
        "shape": dataset.shape,
        "classes": len(dataset.classes),
        "data_sha256": dataset.sha256,
    }


def table(rows: list[dict[str, float]]) -> str:
    """Reports as tab-separated text: `images_seen` first, a column for all that was ever reported, blank where not."""
    columns = list(dict.fromkeys(["images_seen", *(name for row in rows for name in row)]))
    lines = [columns, *([f"{row[name]:.9g}" if name in row else "" for name in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _resume(state: TrainState, folder: Path, group: Group) -> None:
    """Load rank 0's newest intact checkpoint, if there is one, on every rank."""
    found = newest(folder) if group.leads else None
    seen = group.agree(int(found.stem.partition("-")[0]) if found else -1)
    if seen >= 0:
        same = (path for path in checkpoints(folder) if path.name.startswith(f"{seen:012d}") and intact(path))
        state.load(found or next(same))


def _shows(progress: Progress, plan: Plan) -> bool:
    """Whether this report is one of the at most `GRIDS` that carry samples."""
    every = max(plan.report_every, plan.images // GRIDS)
    return progress.done or progress.images_seen // every > (progress.images_seen - plan.report_every) // every
