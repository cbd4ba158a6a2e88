"""All experiments, one after another.

`python -m experiments [--state FOLDER] [--mnist FOLDER] [NAME ...]` (`make science`): hours in all; run again, it goes
on where it was. Each has a folder of its own in FOLDER, with its words in `log` and its finished rows. Those of
`NEEDS_RUNS` read the classifiers that `make repro` trains; those of `NEEDS_MNIST` the files of MNIST in `--mnist`, and
are left out where these are not there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMES = (  # the short ones first
    "support",
    "paired",
    "intervals",
    "sanity",
    "fooled",
    "balance",
    "widths",
    "mixtures",
    "translation",
    "repertoire",
    "precision",
    "search",
    "halving",
    "memorisation",
    "calibration",
    "folders",
    "bayes",
    "likelihood",
)
NEEDS_RUNS = {"fooled": "scorer", "search": "classifier", "halving": "classifier"}
NEEDS_MNIST = ("memorisation", "calibration", "folders", "bayes", "likelihood")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=ROOT / ".genlib/experiments", metavar="FOLDER")
    parser.add_argument("--mnist", type=Path, default=ROOT / "data/raw", metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"[all] {', '.join(NAMES)}")
    args = parser.parse_args()
    names = args.names or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"NAME: got {unknown[0]!r}, expected {', '.join(NAMES)}")
    failed = [name for name in names if not run(name, args.state / name, args.mnist)]
    print(f"{len(names) - len(failed)} of {len(names)} are finished" + (f", not {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def run(name: str, state: Path, mnist: Path) -> bool:
    """Run one experiment to its end, unless it is finished; whether it is."""
    missing = missing_input(name, mnist)
    done, log = state / "done", state / "log"
    if missing or done.exists():
        print(f"{name}: {f'left out, got no {missing}' if missing else f'finished before, see {log}'}", flush=True)
        return not missing
    state.mkdir(parents=True, exist_ok=True)
    data = ["--data", str(mnist)] if name in NEEDS_MNIST else []
    command = [sys.executable, "-m", f"experiments.{name}", "--state", str(state), *data]
    began = time.monotonic()
    with log.open("a") as output:
        code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    seconds = time.monotonic() - began
    print(f"{name}: {f'FAILED with code {code}' if code else 'finished'} after {seconds:.0f} s, see {log}", flush=True)
    if not code:
        done.touch()
    return not code


def missing_input(name: str, mnist: Path) -> Path | None:
    """What this experiment reads and is not there."""
    needed = [ROOT / "runs/train" / NEEDS_RUNS[name]] if name in NEEDS_RUNS else []
    needed += [mnist] if name in NEEDS_MNIST else []
    return next((path for path in needed if not path.exists()), None)


if __name__ == "__main__":
    sys.exit(main())
