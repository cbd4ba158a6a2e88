"""All benchmarks of the list, one after the other, and the tables of docs/benchmarks.md from what they recorded.

`python -m benchmarks [--quick] [NAME ...]` (`make bench`, `make bench-quick`; NAME: some of them only). One that fails
is recorded as not ok, and the exit code is 1 when all are through. The quick form runs the same code on little and
keeps nothing: its table is printed, benchmarks/results.json and the page stay as they are.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOGS = ROOT / ".genlib/benchmarks"
TIMEOUT_S = 1500  # seconds that one benchmark may take


@dataclass(frozen=True)
class Entry:
    """A benchmark and its options; `quick` None: left out of the quick form."""

    name: str
    full: str = "--rounds 5"
    quick: str | None = "--rounds 1"


ENTRIES = (
    Entry("imports"),
    Entry("prepare", quick="--rounds 1 --images 3000"),
    Entry("first_step"),
    Entry("metrics", quick="--rounds 1 --rows 2000"),
    Entry("growth", "--rounds 1 --largest 100000", "--rounds 1 --largest 3000"),
    Entry("memory", "", "--share 0.02"),
    Entry("scaling", "--rounds 5 --seconds 5", "--rounds 1 --seconds 2"),
    Entry("overhead", "--rounds 3 --seconds 60", None),
    Entry("tune", quick=None),
    Entry("floor", "--rounds 5 --seconds 3", "--rounds 1 --seconds 1"),
    Entry("peers", "--rounds 5 --seconds 1.5", "--rounds 1 --seconds 1"),
    Entry("flops", "--rounds 5 --seconds 2", "--rounds 1 --seconds 1"),
    Entry("repro", "--rounds 1", None),
)
NAMES = [entry.name for entry in ENTRIES]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="minutes, and nothing is kept")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"[all] {', '.join(NAMES)}")
    given = parser.parse_args()
    quick, chosen = given.quick, given.names or NAMES
    if wrong := [name for name in chosen if name not in NAMES]:
        parser.error(f"NAME: got {wrong[0]!r}, expected {', '.join(NAMES)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    if quick:
        os.environ["GENLIB_BENCHMARK_RESULTS"] = str(LOGS / "quick.json")
        (LOGS / "quick.json").unlink(missing_ok=True)
    from benchmarks import page  # after the environment says where results go

    asked = [(entry.name, entry.quick if quick else entry.full) for entry in ENTRIES if entry.name in chosen]
    asked = [(name, options) for name, options in asked if options is not None]
    began, failed = time.monotonic(), 0
    for number, (name, options) in enumerate(asked, 1):
        print(f"[{number}/{len(asked)}] {name} {options}", flush=True)
        failed += not run_benchmark(name, str(options).split())
    print(f"{len(asked) - failed} of {len(asked)} ran to their end in {(time.monotonic() - began) / 60:.1f} minutes")
    if quick:
        print(page.tables(NAMES))
    else:
        page.write(NAMES)
    return 1 if failed else 0


def run_benchmark(name: str, options: list[str]) -> bool:
    """Run one benchmark with its words in a file; whether it came to its end, which is recorded where it did not."""
    from benchmarks.results import put_row, remove_row

    log, began = LOGS / f"{name}.log", time.monotonic()
    code = run_logged([sys.executable, "-m", f"benchmarks.{name}", *options], log)
    seconds, words = time.monotonic() - began, log.read_text(errors="replace").splitlines()
    for line in words:
        if line.endswith((", ok", ", NOT REACHED")):
            print(f"    {line}")
    failure = f"{name}: did not run to its end"
    if code:
        print(f"    FAILED with code {code} after {seconds:.0f} s: {words[-1] if words else ''} ({log})", flush=True)
        detail = {"code": code, "said": words[-1:]}
        put_row({"name": failure, "ratio": 0.0, "bound": 1.0, "ok": False, "benchmark": name, "detail": detail})
        return False
    remove_row(failure)
    print(f"    {seconds:.0f} s", flush=True)
    return True


def run_logged(command: list[str], log: Path) -> int:
    """The exit code of a command whose words go into `log`; what takes too long is ended, with all that it began."""
    with log.open("w") as words:
        process = subprocess.Popen(command, cwd=ROOT, stdout=words, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(TIMEOUT_S)
        except BaseException as reason:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(reason, subprocess.TimeoutExpired):
                raise
            words.write(f"took longer than {TIMEOUT_S} s\n")
            return 124


if __name__ == "__main__":
    sys.exit(main())
