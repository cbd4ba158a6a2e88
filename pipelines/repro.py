"""The graph, with stages that do not wait for each other side by side: `python -m pipelines.repro N`.

DVC runs one stage after the other, but lets several of its processes work in one project. So each stage is a `dvc repro
--single-item` of its own, begun when those it needs have ended. Each has an Nth of the processors however many run,
since the number of threads decides how sums are rounded, and so the weights.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache

from genlib import provenance
from genlib.errors import InputError, run_cli
from genlib.tracking.mlflow import publishing
from pipelines.stage import ROOT

Graph = Mapping[str, Collection[str]]  # what each stage needs, in DVC's order
_DVC = ("dvc", "--wait-for-lock")
_DOT_EDGE = re.compile(r'"(?P<before>[^"]+)"(?: -> "(?P<after>[^"]+)")?;')


def repro(jobs: str) -> None:
    """Bring the graph up to date, at most `jobs` stages at a time.

    Raises:
        InputError: `jobs` is not a number of stages.
        SystemExit: a stage failed.
        KeyboardInterrupt: Ctrl-C was pressed before all were done.
    """
    if not (jobs.isdecimal() and int(jobs)):
        raise InputError(f"JOBS: got {jobs!r}, expected how many stages may run at once, 1 or more")
    if jobs == "1":
        os.execvp("dvc", ("dvc", "repro"))
    changed = json.loads(_dvc_output("status", "--json"))
    if changed:
        graph = read_graph()
        with publishing(provenance.main_worktree(ROOT)):
            StageRunner(int(jobs), graph, downstream(graph, changed)).run()
    else:
        print("every stage is up to date")


def read_graph() -> Graph:
    """The graph of dvc.yaml."""
    graph: dict[str, list[str]] = {}
    for before, after in _DOT_EDGE.findall(_dvc_output("dag", "--dot")):
        graph.setdefault(before, [])
        if after:
            graph.setdefault(after, []).append(before)
    return graph


def downstream(graph: Graph, stages: Collection[str]) -> list[str]:
    """These stages and all that need them, in the order of `graph`."""
    found = set(stages) & set(graph)
    while more := {stage for stage, needs in graph.items() if found.intersection(needs)} - found:
        found |= more
    return [stage for stage in graph if stage in found]


def critical_path_lengths(graph: Graph) -> dict[str, int]:
    """How many stages one after the other still follow each, itself included."""

    @cache
    def chain(stage: str) -> int:
        return 1 + max((chain(after) for after, needs in graph.items() if stage in needs), default=0)

    return {stage: chain(stage) for stage in graph}


@dataclass
class StageRunner:
    """`jobs` stages of `graph` at a time until all of `left` are done; the one that most wait for comes first.

    After Ctrl-C, which the stages hear as well, or the failure of one, none begins any more.
    """

    jobs: int
    graph: Graph
    pending: list[str]
    running: dict[Future[int], str] = field(default_factory=dict)
    failed_stages: list[str] = field(default_factory=list)
    interrupted: bool = False

    def run(self) -> None:
        from tqdm import tqdm

        before = signal.signal(signal.SIGINT, self._on_interrupt)
        shown = tqdm(total=len(self.pending), unit=" stages", disable=not sys.stderr.isatty())
        try:
            with ThreadPoolExecutor(self.jobs) as pool, shown as self.bar:
                self._start_ready(pool)
                while self.running:
                    self._collect_done()
                    self._start_ready(pool)
        finally:
            signal.signal(signal.SIGINT, before)
        if self.interrupted:
            raise KeyboardInterrupt
        if self.failed_stages:
            raise SystemExit(
                f"genlib: {', '.join(self.failed_stages)} failed, {len(self.pending)} stages were not begun"
            )

    def _start_ready(self, pool: ThreadPoolExecutor) -> None:
        """Fill the lanes with stages whose needs are met, the most urgent first; of equals the last in dvc.yaml, where
        the long ones stand."""
        if self.interrupted or self.failed_stages:
            return
        chains, ahead = critical_path_lengths(self.graph), {*self.pending, *self.running.values()}
        ready = [stage for stage in reversed(self.pending) if ahead.isdisjoint(self.graph[stage])]
        for stage in sorted(ready, key=lambda stage: -chains[stage])[: self.jobs - len(self.running)]:
            self.pending.remove(stage)
            self.running[pool.submit(self._run_stage, stage)] = stage

    def _collect_done(self) -> None:
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        for future in done:
            stage = self.running.pop(future)
            self.bar.update()
            if future.result():
                self.failed_stages.append(stage)

    def _run_stage(self, stage: str) -> int:
        """The exit code of one stage, whose words appear as they come."""
        began = time.monotonic()
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        command = [*_DVC, "repro", "--single-item", stage]
        with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            for line in stage_output(process.stdout or ()):
                self.bar.write(line)
        self.bar.write(f"{stage}: {time.monotonic() - began:.0f} s{', FAILED' if process.returncode else ''}")
        return process.returncode

    def _on_interrupt(self, number: int, frame: object) -> None:
        self.interrupted = True


def stage_output(lines: Iterable[bytes]) -> Iterator[str]:
    """What a stage and DVC say, up to DVC's advice about what it has written."""
    for line in lines:
        text = line.decode(errors="replace").rstrip()
        if text.endswith("lock file 'dvc.lock'"):
            break
        yield text
    for _ in lines:
        pass


def _dvc_output(*arguments: str) -> str:
    """What DVC answers."""
    done = subprocess.run([*_DVC, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    sys.exit(run_cli(lambda: repro(sys.argv[1])))
