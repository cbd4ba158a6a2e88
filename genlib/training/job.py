"""A training job: all that determines the weights, its digest, and its model folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from safetensors.torch import save_file

from genlib.data.dataset import Dataset
from genlib.errors import InputError
from genlib.files import file_sha256, json_sha256, read_checked_json, replace_folder, with_checksum
from genlib.registry import resolve_options
from genlib.training.checkpoints import latest_checkpoint
from genlib.training.config import TrainConfig
from genlib.training.overrides import flatten_options, resolve_ratios

_DATA_FILES = ("arrays", "batches", "dataset", "images", "pixels", "random", "streaming")
_CODE_FOLDERS = ("models/layers", "models/layers/cpu", "objectives/common", "training")


@dataclass(frozen=True)
class TrainingSpec:
    """One entry of `models` in params.yaml: what to build and how to train it, on whatever data."""

    name: str
    model: dict[str, Any]
    objective: dict[str, Any]
    train: TrainConfig

    def options(self) -> dict[str, Any]:
        return flatten_options(self.model, self.objective, asdict(self.train))

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """The same with other values at dotted keys (`model.width`, `train.lr_g`) or ratios (`train.lr_d/lr_g`)."""
        train = asdict(self.train)
        sections = {"model": dict(self.model), "objective": dict(self.objective), "train": train}
        for key, value in resolve_ratios(overrides, self.options()).items():
            section, _, option = key.partition(".")
            if option.startswith("lr_"):
                train["lr_by_phase"][option.removeprefix("lr_")] = value
            else:
                sections[section][option] = value
        return replace(self, model=sections["model"], objective=sections["objective"], train=TrainConfig(**train))


@dataclass(frozen=True)
class TrainingJob(TrainingSpec):
    """A spec with its data, whose `model` has every option, defaults too, and nothing left to the data.
    `checkpoint_dir`: where checkpoints are written and gone on from; None keeps none.
    `digest`: 16 hex digits of model, objective, options, data and code; jobs of one digest give the same weights."""

    dataset: Dataset
    checkpoint_dir: Path | None = None
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", resolve_options(self.model, lambda: self.dataset.in_memory_subset))
        content: dict[str, Any] = {"model": self.model, "objective": self.objective, "train": asdict(self.train)}
        content |= {"data": self.dataset.sha256, "code": _code_sha256(self.model["name"], self.objective["name"])}
        object.__setattr__(self, "digest", json_sha256(content)[:16])

    def with_checkpoints_in(self, root: Path) -> Self:
        return replace(self, checkpoint_dir=root / self.digest)

    def is_model_of(self, folder: Path) -> bool:
        """Whether the model in `folder` is what this job would train."""
        path, expected = folder / "config.json", json.loads(json.dumps(build_model_config(self)))
        written = read_checked_json(path, "expected one that a train stage wrote") if path.exists() else {}
        return bool(expected.items() <= written.items())


def code_files(model_name: str, objective_name: str) -> list[Path]:
    """The files whose content decides what a job of this model and this objective computes."""
    package = Path(__file__).parents[1]
    named = ["registry.py", "validation.py", f"models/{model_name}.py", f"objectives/{objective_name}.py"]
    named += [f"data/{name}.py" for name in _DATA_FILES]
    shared = [path for folder in _CODE_FOLDERS for path in sorted((package / folder).glob("*.py"))]
    return [package / name for name in named] + shared


@cache
def _code_sha256(model_name: str, objective_name: str) -> list[str]:
    return [file_sha256(path) for path in code_files(model_name, objective_name)]


def save_model(job: TrainingJob, folder: Path) -> None:
    """Write the model folder of a finished job: averaged weights, raw weights beside them, and what rebuilds it; raises
    InputError where the job has no finished state."""
    checkpoint = latest_checkpoint(job.checkpoint_dir)
    if checkpoint is None or checkpoint.images_seen < job.train.total_images:
        raise InputError(f"{job.checkpoint_dir}: got no finished state of {job.name}, expected a job run to its end")
    with replace_folder(folder) as partial:
        save_file(checkpoint.tensors("ema."), partial / "model.safetensors")
        save_file(checkpoint.tensors("model."), partial / "raw.safetensors")
        config = with_checksum({**build_model_config(job), "model_sha256": file_sha256(partial / "model.safetensors")})
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (partial / "history.tsv").write_text(history_to_tsv(checkpoint.history))


def build_model_config(job: TrainingJob) -> dict[str, Any]:
    """The content of `config.json`: what rebuilds the model, and its objective, options and data."""
    return {
        "name": job.name,
        "model": job.model,
        "objective": job.objective,
        "train": asdict(job.train),
        "shape": job.dataset.shape,
        "classes": len(job.dataset.classes),
        "data_sha256": job.dataset.sha256,
    }


def history_to_tsv(rows: list[dict[str, float]]) -> str:
    """Reports as tab-separated text: `images_seen`, then a column for each metric, blank where it was not reported."""
    columns = list(dict.fromkeys(["images_seen", *(name for row in rows for name in row)]))
    lines = [columns, *([f"{row[name]:.9g}" if name in row else "" for name in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
