"""Run folders record what a run produces, whether or not a tracking server answers.

    run.json         name, experiment, start time, params, tags; once it has ended its status and end time
    metrics.jsonl    a line per report: time, step, metrics; with `weights`, the scores of the model of that hash
    images/<name>/<step>.png
    artifacts/       files, under the names that MLflow shows
    nested/<key>/    run folders, of the trials of a sweep for example
    published.json   how much of this MLflow has (genlib/tracking/mlflow.py)

One process writes a folder. A process that restarts after a kill continues the unfinished folder without duplicates.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genlib.errors import mask_secrets, one_line
from genlib.files import append_line, atomic_path, file_sha256, write_json, write_text
from genlib.params import flatten_dotted
from genlib.training.gan_state import gan_state

if TYPE_CHECKING:
    from torch import Tensor

    from genlib.training.loop import Progress

Status = Literal["FINISHED", "FAILED", "KILLED"]
HEADER, METRICS, PUBLISHED = "run.json", "metrics.jsonl", "published.json"
HEADER_TYPES = {"name": str, "experiment": str, "start_time": int, "tags": dict, "params": dict}
ROW_TYPES = {"time": int, "step": int, "metrics": dict}
MAX_RUNS, KEPT_RUNS = 150, 100  # published run folders: more than the first are pruned to the second
WEIGHTS_TAG, HEALTH_TAG = "genlib.model_sha256", "genlib.health"


def runs_dir(project_dir: Path) -> Path:
    """Where the run folders of a project lie."""
    return project_dir / ".genlib" / "runs"


def open_run(project_dir: Path, key: str, **header: Any) -> RunFolder:
    """The unfinished run `key` of the project, or a new one; `header`: as of `RunFolder`."""
    system_metrics()  # CPU use is measured from here on
    number = 1
    while "status" in read_header(path := runs_dir(project_dir) / f"{key}-{number}"):
        number += 1
    return RunFolder(path, **header)


def _fails_no_work(method: Callable[..., None]) -> Callable[..., None]:
    """The method of a run folder, where a record that cannot be written is said once and ends nothing."""

    @wraps(method)
    def try_to_record(run: RunFolder, *args: Any, **kwargs: Any) -> None:
        try:
            method(run, *args, **kwargs)
        except OSError as error:
            if not run.is_cut_short:
                print(f"{run.path}: got a record that cannot be written ({one_line(error)})", file=sys.stderr)
            run.is_cut_short = True

    return try_to_record


class RunFolder(AbstractContextManager["RunFolder"]):
    """One run. As a context it ends with the body: FINISHED, or FAILED; after Ctrl-C it stays unfinished."""

    def __init__(
        self, path: Path, *, name: str, experiment: str, tags: Mapping[str, str], params: Mapping[str, Any]
    ) -> None:
        self.path, self.tags, self.is_cut_short = path, tags, False
        self.header = read_header(path)
        if not self.header:
            values = {key: str(value) for key, value in flatten_dotted(params).items()}
            self._update(name=name, experiment=experiment, start_time=_now_ms(), tags=dict(tags), params=values)
        self._update()  # also where it was broken
        if (path / METRICS).exists():  # a killed process may have left half a line
            os.truncate(path / METRICS, (path / METRICS).read_bytes().rfind(b"\n") + 1)
        rows = read_rows(path)
        self.scored_weights = {row["weights"] for row in rows if "weights" in row}
        self.last_step = max((row["step"] for row in rows if "weights" not in row), default=-1)
        self.nested_runs: dict[str, RunFolder] = {}
        self.rate_start: tuple[int, float] | None = None

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if not isinstance(error, KeyboardInterrupt):
            self.end("FAILED" if error else "FINISHED")

    def start_nested(self, key: str, name: str, params: Mapping[str, Any]) -> RunFolder:
        """The run `key` under this one."""
        if key not in self.nested_runs:
            header = {"name": name, "experiment": self.header["experiment"], "tags": self.tags, "params": params}
            self.nested_runs[key] = RunFolder(self.path / "nested" / key, **header)
        return self.nested_runs[key]

    def report(self, progress: Progress) -> None:
        """Log a report of a training run: its metrics, images/s since the first report, its samples."""
        now = time.monotonic()
        if self.rate_start is None or progress.resumed:
            self.rate_start = (progress.images_seen, now)
        images, seconds = progress.images_seen - self.rate_start[0], now - self.rate_start[1]
        rate = {"images_per_second": images / seconds} if images and seconds else {}
        self.log({**progress.metrics, **rate}, progress.images_seen)
        if progress.samples is not None:
            self.log_images("samples", progress.samples, progress.images_seen)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics and system metrics at `step`, unless it was logged before, and tag the state of a GAN."""
        if metrics and step > self.last_step:
            self._append(step=step, metrics={**metrics, **system_metrics()})
            self.last_step = step
            if state := gan_state(metrics):
                self.tag({HEALTH_TAG: state})

    def log_to_training_run(self, model_dir: Path, metrics: Mapping[str, float]) -> None:
        """Scores of the weights in `model_dir`, for the run that trained them (found by their hash) as `eval/...`."""
        from genlib.registry import read_model_config

        weights = file_sha256(model_dir / "model.safetensors")
        if weights not in self.scored_weights:
            step = int(read_model_config(model_dir)["train"]["total_images"])
            self._append(step=step, metrics={f"eval/{key}": value for key, value in metrics.items()}, weights=weights)
            self.scored_weights.add(weights)

    def tag(self, tags: Mapping[str, str]) -> None:
        self._update(tags=self.header["tags"] | tags)

    @_fails_no_work
    def log_artifact(self, source: Path, folder: str = "") -> None:
        """A copy of the file as it is now, in `folder` among the artifacts."""
        with atomic_path(self.path / "artifacts" / folder / source.name) as partial:
            shutil.copyfile(source, partial)

    @_fails_no_work
    def log_text(self, name: str, text: str) -> None:
        """An artifact with this text."""
        write_text(mask_secrets(text), self.path / "artifacts" / name)

    @_fails_no_work
    def log_images(self, name: str, pixels: Tensor, step: int) -> None:
        """A grid of images (uint8 [n, C, H, W]) at `step`."""
        from genlib.data.images import write_grid

        path = self.path / "images" / name / f"{step}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_grid(pixels, path)

    def end(self, status: Status = "FINISHED") -> None:
        """End the run, and as KILLED what is nested in it and did not end."""
        if "status" in self.header:
            return
        for key in (path.parent.name for path in (self.path / "nested").glob(f"*/{HEADER}")):
            self.start_nested(key, "", {}).end("KILLED")
        self._update(status=status, end_time=_now_ms())

    @_fails_no_work
    def _update(self, **changes: Any) -> None:
        changed = json.loads(mask_secrets(json.dumps(self.header | changes)))
        if not changes or self.header != changed:
            self.header = changed
            write_json(changed, self.path / HEADER)

    @_fails_no_work
    def _append(self, **row: Any) -> None:
        append_line(json.dumps({"time": _now_ms(), **row}), self.path / METRICS)


def read_header(run_folder: Path) -> dict[str, Any]:
    """The content of run.json or, where that is missing or broken, what was published of it; empty without either."""
    for header in (read_object(run_folder / HEADER), read_object(run_folder / PUBLISHED).get("header")):
        if isinstance(header, dict) and {key: type(header.get(key)) for key in HEADER_TYPES} == HEADER_TYPES:
            return header
    return {}


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_rows(run_folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl. Left out are broken ones, and a last one that is still being written."""
    path, rows = run_folder / METRICS, []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else ():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and {key: type(row.get(key)) for key in ROW_TYPES} == ROW_TYPES:
            rows.append(row)
    return rows


def system_metrics() -> dict[str, float]:
    """The share of the processors in use since the last call of this thread, and the memory in use, by MLflow's names;
    the same of the GPU that this process computes on, if it does."""
    import psutil

    memory = psutil.virtual_memory()
    found = {"cpu_utilization_percentage": psutil.cpu_percent(), **_memory_usage("system", memory.used, memory.total)}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        found |= _memory_usage(f"gpu_{torch.cuda.current_device()}", total - free, total)
    return {f"system/{name}": value for name, value in found.items()}


def _memory_usage(device: str, used: int, total: int) -> dict[str, float]:
    return {f"{device}_memory_usage_megabytes": used / 1e6, f"{device}_memory_usage_percentage": 100 * used / total}


def _now_ms() -> int:
    return int(time.time() * 1000)


def pending_runs(project_dir: Path) -> list[Path]:
    """The run folders that MLflow does not have whole, in the order of `all_runs`."""
    return [folder for folder in all_runs(project_dir) if not read_object(folder / PUBLISHED).get("is_whole")]


def all_runs(project_dir: Path) -> list[Path]:
    """The run folders of a project, the oldest first, each before those nested in it; those with scores come last."""

    def order(folder: Path) -> tuple[bool, int, int, int]:
        root = parent_run(folder) or folder
        start_time, root_time = (read_header(each).get("start_time", 0) for each in (folder, root))
        return any("weights" in row for row in read_rows(root)), root_time, len(folder.parts), start_time

    found = [*runs_dir(project_dir).glob(f"*/{HEADER}"), *runs_dir(project_dir).glob(f"*/nested/*/{HEADER}")]
    return sorted((path.parent for path in found), key=order)


def parent_run(folder: Path) -> Path | None:
    """The run folder that this one is nested in."""
    return folder.parents[1] if folder.parent.name == "nested" else None


def prune_runs(project_dir: Path) -> list[str]:
    """Remove the oldest folders of runs that MLflow has, once there are too many; a line says how many stay."""
    pending, folders = set(pending_runs(project_dir)), list(runs_dir(project_dir).glob("*"))
    published = [folder for folder in folders if pending.isdisjoint([folder, *folder.glob("nested/*")])]
    if len(published) <= MAX_RUNS:
        return []
    published.sort(key=lambda folder: read_header(folder).get("start_time", 0))
    for folder in published[:-KEPT_RUNS]:
        shutil.rmtree(folder, ignore_errors=True)
    removed = len(published) - KEPT_RUNS
    return [f"{runs_dir(project_dir)}: {removed} published runs were removed, {len(folders) - removed} newer ones stay"]
