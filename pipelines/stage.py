"""What every stage shares: paths, tracking, exit codes."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from genlib import provenance
from genlib.errors import InputError, run_cli, unknown_name
from genlib.files import file_sha256
from genlib.params import Params, load_params
from genlib.tracking.mlflow import publishing
from genlib.tracking.run_folder import RunFolder, open_run
from pipelines.code_digest import code_digest

if TYPE_CHECKING:
    from genlib.data.dataset import Dataset
    from genlib.training.job import TrainingJob

ROOT = Path.cwd()
JOB_NAME_ENV = "GENLIB_JOB_NAME"  # of a submitted job, whose runs come to the project that it was submitted from
PREPARED_DIR = ROOT / "data" / "prepared"
DATA_TAGS = {"data": "name", "raw_sha256": "raw_sha256"}  # further tags of a run, of dataset.json
FEATURE_CACHE = ROOT / ".genlib" / "views"
INTERRUPTED_MESSAGE = "interrupted; the same command goes on from the last checkpoint"
TUNING_CLASSIFIER, REPORTING_CLASSIFIER = ROOT / "runs/train/classifier", ROOT / "runs/train/scorer"


@dataclass(frozen=True)
class Stage:
    """One stage with its model ("" for stages without one)."""

    name: str
    model_name: str
    params: Params

    @property
    def out_dir(self) -> Path:
        return ROOT / "runs" / self.name / self.model_name

    def seed_folders(self, folder: Path) -> dict[int, Path]:
        """Training seed -> its part of `folder`: the first has the folder, the others lie in its `seeds`."""
        first, *others = self.params.train_seeds(self.model_name)
        return {first: folder} | {seed: folder / "seeds" / str(seed) for seed in others}

    @property
    def checkpoint_root(self) -> Path:
        """Where unfinished training of this stage is kept; pruned once the stage is done."""
        return ROOT / ".genlib" / "state" / self.name / self.model_name

    @property
    def title(self) -> str:
        return f"{self.name} {self.model_name}".strip()

    @cached_property
    def dataset(self) -> Dataset:
        from genlib.data.dataset import load_dataset

        return load_dataset(PREPARED_DIR)

    def build_job(self, overrides: Mapping[str, Any] | None = None, **train: Any) -> TrainingJob:
        """The model's training job with other train options, then other hyperparameters by dotted key."""
        from genlib.training.job import TrainingJob

        section, config = self.params.models[self.model_name], self.params.train_config(self.model_name)
        config = replace(config, **train)
        job = TrainingJob(self.model_name, section.model, section.objective, config, self.dataset)
        return job.with_overrides(overrides or {}).with_checkpoints_in(self.checkpoint_root)

    @property
    def storage_path(self) -> str:
        """Where Ray keeps its files: a folder, or the URL of one."""
        place = self.params.ray.storage_path
        return place if "://" in place else str(ROOT / place)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Raise InputError where another process runs this stage, whose folders one alone may write; the system frees
        the lock however a process ends."""
        path = ROOT / ".genlib" / "locks" / self.title.replace(" ", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                got = f"{self.title}: got process {file.read()}, which runs this stage already"
                raise InputError(f"{got}, expected one at a time; wait for it, or end it by kill") from error
            file.truncate(0)
            print(os.getpid(), end="", file=file, flush=True)
            yield

    @contextmanager
    def start_run(self, digest: str = "", part: str = "") -> Iterator[RunFolder]:
        """A tracked run of this stage, or of a named `part` of it, published while the body runs; one that is killed or
        interrupted is continued by the next of the same `digest`."""
        project_dir = provenance.main_worktree(ROOT)
        # Other worktrees, copies and jobs may be at the same stage.
        worktree = os.environ.get(JOB_NAME_ENV) or ("" if project_dir == ROOT else ROOT.name)
        key = "-".join(filter(None, (self.name, self.model_name, digest or self.params.digest()[:16], worktree)))
        name = " ".join(filter(None, (self.title, part, provenance.dvc_experiment())))
        experiment = self.params.tracking.experiment or self._prepared_info.get("name", self.params.data.name)
        params = self.params.model_dump()
        models = params.pop("models")  # of the models a run shows its own alone
        params |= {self.model_name: models[self.model_name]} if self.model_name else {}
        header = {"name": name, "experiment": experiment, "tags": self.tags(), "params": params}
        with publishing(project_dir), open_run(project_dir, key, **header) as run:
            run.log_text("requirements.txt", provenance.installed_requirements())
            yield run

    def tags(self) -> dict[str, str]:
        """The origin of a number: commit, params, data, stage and model."""
        info = self._prepared_info
        facts = {"stage": self.name, "model": self.model_name, "data_sha256": info.get("sha256", "")}
        tags = provenance.tags(ROOT, **facts, params_digest=self.params.digest())
        return tags | {f"genlib.{key}": info[name] for key, name in DATA_TAGS.items() if name in info}

    @property
    def _prepared_info(self) -> Mapping[str, Any]:
        """What dataset.json says; nothing before `prepare` has run."""
        from genlib.data.dataset import INFO_FILE

        return self.dataset.info if (PREPARED_DIR / INFO_FILE).exists() else {}

    def build_card(self, classifier: Mapping[str, Any], model_dir: Path, n: int) -> dict[str, Any]:
        """The card of a metric: data, weights, classifier, number of images, processor and code."""
        info = self.dataset.info
        return {
            **{key.removeprefix("genlib."): value for key, value in self.tags().items()},
            "data": info["name"],
            "counts": info["counts"],
            "split": self.params.data.split,
            "seed": self.params.evaluate.seed,
            "n": n,
            "weights": "ema",
            "model_sha256": file_sha256(model_dir / "model.safetensors"),
            "judge": classifier,
            "processor": provenance.processor_name(),
            "code": code_digest(ROOT, self.model_name, self.params.model_dump()["models"]),
        }


def run_stage(
    name: str, body: Callable[[Stage], None], *, models: Callable[[Params], list[str]] | None = None
) -> NoReturn:
    """The entry point of a stage: `python -m pipelines.<name> [model]`; exits with 2 on a wrong input."""

    def parse_and_run() -> None:
        parser = argparse.ArgumentParser(prog=f"python -m pipelines.{name}", description=body.__doc__)
        if models:
            parser.add_argument("model", help="a model of params.yaml")
        args = parser.parse_args()
        params = load_params()
        if models and args.model not in models(params):
            raise unknown_name(f"{name} {args.model}", args.model, models(params))
        stage = Stage(name, args.model if models else "", params)
        with stage.lock():
            body(stage)

    sys.exit(run_cli(parse_and_run, INTERRUPTED_MESSAGE))
