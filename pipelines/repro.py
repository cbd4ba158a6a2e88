"""Run the graph with independent stages side by side: `python -m pipelines.repro N`.

Each stage is its own `dvc repro --single-item`, started once the stages it needs are done. Each gets an Nth of the
processors however many run, since the number of threads affects rounding, and so the weights.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter
from itertools import takewhile
from typing import Any

from genlib import provenance
from genlib.errors import InputError, run_cli
from genlib.params import PARAMS, load_params
from genlib.tracking.mlflow import publishing
from pipelines.raw import update_raw
from pipelines.stage import ROOT

Graph = Mapping[str, Collection[str]]  # the stages that each stage needs, in the order of dvc.yaml
ALWAYS_CHANGED = "always changed"  # the one reason that DVC gives for a stage that it runs every time
_DVC = (sys.executable, "-m", "dvc")
_DOT_EDGE = re.compile(r'"(?P<before>[^"]+)"(?: -> "(?P<after>[^"]+)")?;')


def repro(jobs: str) -> None:
    """Bring the graph up to date, at most `jobs` stages at a time; raises SystemExit where a stage failed."""
    if not (jobs.isdecimal() and int(jobs)):
        raise InputError(f"JOBS: got {jobs!r}, expected how many stages may run at once, 1 or more")
    if jobs == "1":
        os.execv(sys.executable, (*_DVC, "repro"))
    changed = _find_changed_stages()
    if not changed:
        print("every stage is up to date")
        return
    graph = read_graph()
    with publishing(provenance.main_worktree(ROOT)):
        run_stages(graph, downstream(graph, changed), int(jobs))


def _find_changed_stages() -> Collection[str]:
    """Those that DVC would run, without `raw` where its file is as it was: to DVC it has always changed."""
    if PARAMS.exists():
        update_raw(load_params().data.to_config())
    status = json.loads(_dvc_output("status", "--json"))
    return [stage for stage, reasons in status.items() if reasons != [ALWAYS_CHANGED]]


def read_graph() -> Graph:
    graph: dict[str, list[str]] = {}
    for before, after in _DOT_EDGE.findall(_dvc_output("dag", "--dot")):
        graph.setdefault(before, [])
        if after:
            graph.setdefault(after, []).append(before)
    return graph


def downstream(graph: Graph, changed: Collection[str]) -> list[str]:
    """The `changed` stages and all that need them, in the order of `graph`."""
    stale = set(changed)
    for stage in TopologicalSorter(graph).static_order():
        if not stale.isdisjoint(graph[stage]):
            stale.add(stage)
    return [stage for stage in graph if stage in stale]


def critical_path_lengths(graph: Graph) -> dict[str, int]:
    """How many stages must still run one after the other from each stage on, itself included."""
    lengths = dict.fromkeys(graph, 1)
    for stage in reversed([*TopologicalSorter(graph).static_order()]):
        for before in graph[stage]:
            lengths[before] = max(lengths[before], 1 + lengths[stage])
    return lengths


def run_stages(graph: Graph, stale: list[str], jobs: int) -> None:
    """Run the `stale` stages, `jobs` at a time, the one with the longest critical path first. After Ctrl-C, which the
    stages receive as well, or after a failure, no further stage starts."""
    from tqdm import tqdm

    sorter = TopologicalSorter({stage: set(graph[stage]).intersection(stale) for stage in stale})
    sorter.prepare()
    lengths = critical_path_lengths(graph)
    ready: list[str] = []
    running: dict[Future[int], str] = {}
    failed: list[str] = []
    num_started = 0
    bar = tqdm(total=len(stale), unit=" stages", disable=not sys.stderr.isatty())
    with bar, _interrupt_flag() as interrupted, ThreadPoolExecutor(jobs) as pool:
        while True:
            ready += sorter.get_ready()
            # Of equals the last in dvc.yaml goes first: the long ones stand there.
            ready.sort(key=lambda stage: (lengths[stage], stale.index(stage)))
            while ready and len(running) < jobs and not failed and not interrupted:
                stage = ready.pop()
                running[pool.submit(_run_stage, stage, jobs, bar)] = stage
                num_started += 1
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                stage = running.pop(done)
                bar.update()
                if done.result():
                    failed.append(stage)
                else:
                    sorter.done(stage)
    if interrupted:
        raise KeyboardInterrupt
    if failed:
        raise SystemExit(f"genlib: {', '.join(failed)} failed, {len(stale) - num_started} stages were not started")


def _run_stage(stage: str, jobs: int, bar: Any) -> int:
    """The exit code of one stage, whose output is printed as it comes."""
    start = time.monotonic()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    command = [*_DVC, "--wait-for-lock", "repro", "--single-item", stage]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in stage_output(process.stdout or ()):
            bar.write(line)
    bar.write(f"{stage}: {time.monotonic() - start:.0f} s{', FAILED' if process.returncode else ''}")
    return process.returncode


def stage_output(lines: Iterable[bytes]) -> Iterator[str]:
    """What a stage and DVC print, up to DVC's advice about the lock file."""
    texts = (line.decode(errors="replace").rstrip() for line in lines)
    yield from takewhile(lambda text: not text.endswith("lock file 'dvc.lock'"), texts)
    deque(texts, maxlen=0)  # a stage whose pipe is full would wait


@contextmanager
def _interrupt_flag() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C is pressed."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _dvc_output(*arguments: str) -> str:
    done = subprocess.run([*_DVC, "--wait-for-lock", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    sys.exit(run_cli(lambda: repro(sys.argv[1])))
