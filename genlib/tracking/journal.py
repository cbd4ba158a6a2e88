"""A local, append-only record of runs: what is logged is on disk before anything is sent anywhere.

A journal is a folder: `events.jsonl`, one event a line in the order they happened, and copies of the files that were
kept. A process that is killed and started again with the same folder goes on with the same runs, and what was logged
before is not logged twice.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Protocol

from genlib.tracking.system_metrics import system_metrics
from genlib.training.gan_state import gan_state

if TYPE_CHECKING:
    from torch import Tensor

    from genlib.training.loop import Progress

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(Protocol):
    """Where the numbers of one run go."""

    def log(self, metrics: Mapping[str, float], step: int) -> None: ...

    def tag(self, tags: Mapping[str, str]) -> None: ...

    def keep(self, path: Path, folder: str = "") -> None: ...

    def figure(self, name: str, pixels: Tensor, step: int) -> None: ...


class Reporter:
    """Tells `tracker` of every report and picture of a training run, with the rate since the first, and how a game of
    two players stands whenever that changes."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.first: tuple[int, float] | None = None
        self.health: str | None = None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self.first is None or progress.resumed:
            self.first = (progress.images_seen, now)
        images, seconds = progress.images_seen - self.first[0], now - self.first[1]
        rate = {"images_per_second": images / seconds} if images and seconds else {}
        self.tracker.log({**progress.metrics, **rate}, progress.images_seen)
        health = gan_state(progress.metrics)
        if health != self.health:
            self.tracker.tag({"genlib.health": str(health)})
            self.health = health
        if progress.samples is not None:
            self.tracker.figure("samples", progress.samples, progress.images_seen)


class Journal:
    """The runs of one stage, in `folder`."""

    def __init__(self, folder: Path) -> None:
        while finished(folder):
            folder = folder.with_name(folder.name + "-again")
        self.folder = folder
        self.events = folder / "events.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        system_metrics()  # what the processors do is counted from here on
        self.started, self.steps = _already(self.events)

    def run(
        self,
        key: str,
        *,
        name: str,
        experiment: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        parent: str | None = None,
    ) -> Run:
        """The run `key`, begun now or gone on with; `parent` is the key of the run it is nested under."""
        if key not in self.started:
            facts = {"name": name, "experiment": experiment, "tags": dict(tags), "parent": parent}
            self.write("start", key, **facts, params={k: str(v) for k, v in flatten_dotted(params).items()})
            self.started.add(key)
        return Run(self, key)

    def write(self, op: str, key: str, **facts: Any) -> None:
        """Append one event."""
        event = {"op": op, "run": key, "time": int(time.time() * 1000), **facts}
        with self.events.open("a") as file:
            file.write(json.dumps(event) + "\n")

    def store(self, source: Path) -> str:
        """Copy `source` into the journal; returns the copy's name."""
        name = f"{len(list(self.folder.iterdir())):05d}-{source.name}"
        shutil.copyfile(source, self.folder / name)
        return name


class Run:
    """One run of a journal; a `Tracker`."""

    def __init__(self, journal: Journal, key: str) -> None:
        self.journal = journal
        self.key = key

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Metrics at `step`, and what the machine did meanwhile; a step that was logged before is left as it is."""
        if metrics and step > self.journal.steps.get(self.key, -1):
            self.journal.write("log", self.key, metrics={**metrics, **system_metrics()}, step=step)
            self.journal.steps[self.key] = step

    def tag(self, tags: Mapping[str, str]) -> None:
        self.journal.write("tag", self.key, tags=dict(tags))

    def keep(self, path: Path, folder: str = "") -> None:
        """A file, as it is now, under `folder` among the run's artifacts."""
        self.journal.write("keep", self.key, file=self.journal.store(path), name=path.name, folder=folder)

    def note(self, name: str, text: str) -> None:
        """A file of this text among the run's artifacts."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            self.keep(path)

    def credit(self, weights: str, metrics: Mapping[str, float], step: int) -> None:
        """Metrics of these weights (their hash), as `eval/...` of the run that trained them, whichever journal that was
        in."""
        named = {f"eval/{name}": value for name, value in metrics.items()}
        self.journal.write("credit", self.key, weights=weights, metrics=named, step=step)

    def figure(self, name: str, pixels: Tensor, step: int) -> None:
        """A grid of images (uint8 [n, C, H, W]) at `step`."""
        pictured = f"{self.key}/{name}"
        if step <= self.journal.steps.get(pictured, -1):
            return
        from genlib.data.png import write_grid

        file = f"{self.key}-{name}-{step}.png".replace("/", "-")
        write_grid(pixels, self.journal.folder / file)
        self.journal.write("figure", self.key, file=file, name=name, step=step)
        self.journal.steps[pictured] = step

    def end(self, status: Status = "FINISHED") -> None:
        self.journal.write("end", self.key, status=status)


def flatten_dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping) and value
        result |= flatten_dotted(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return result


def _already(events: Path) -> tuple[set[str], dict[str, int]]:
    """The runs that `events` starts, and the last step of each run and of each of its figures."""
    started: set[str] = set()
    steps: dict[str, int] = {}
    for event in read_events(events):
        if event["op"] == "start":
            started.add(event["run"])
        elif event["op"] == "log":
            steps[event["run"]] = event["step"]
        elif event["op"] == "figure":
            steps[f"{event['run']}/{event['name']}"] = event["step"]
    return started, steps


def read_events(events: Path, start: int = 0) -> list[dict[str, Any]]:
    """The whole events from line `start` on; a half-written last line is left for later."""
    if not events.exists():
        return []
    lines = events.read_text().splitlines(keepends=True)[start:]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def finished(journal: Path) -> bool:
    """Whether every run that the journal in this folder starts has ended."""
    events = read_events(journal / "events.jsonl")
    started = {event["run"] for event in events if event["op"] == "start"}
    return bool(started) and started <= {event["run"] for event in events if event["op"] == "end"}
