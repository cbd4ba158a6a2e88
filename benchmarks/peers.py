"""Images per second of our loop against those of others, on equal work: benchmarks/loops/ holds a loop in each file.

The same nets on the same 20,000 digits in batches of 128, in float32, with the same threads, each loop in a process of
its own that waits while another has its window; ours runs before every two of the others, and the ratio is the median
over rounds. `python -m benchmarks.peers [--rounds N] [--seconds S]`, after `make peers`, which installs what the others
import into an environment beside ours. What is not installed, or ends, is told and recorded as absent.

Where the processor computes in bfloat16, ours with `precision: auto`, as it trains by default, runs once a round and
stands in the details.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import IO, Any

import torch

from benchmarks.loops import Task
from benchmarks.results import record
from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.data.images import Images, save_images
from genlib.training.loop import prefers_bfloat16

ROOT = Path(__file__).parent.parent
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"
IMAGES = 20_000
NATIVE_PRECISION = "bfloat16" if prefers_bfloat16(torch.device("cpu")) else "float32"


@dataclass(frozen=True)
class PeerTask:
    """One model on images of so many pixels a side, and by how much to be faster than which loops."""

    model: dict[str, Any]
    objective: dict[str, Any]
    side: int
    peers: dict[str, float]


PEER_TASKS = {
    "a GAN": PeerTask(
        {"name": "dcgan", "latent": 100, "width": 32, "width_d": 32},
        {"name": "adversarial"},
        32,
        {"lightning_gan": 2.0, "itwinai_gan": 1.0, "ray_gan": 3.0, "pil_gan": 3.0},
    ),
    "a GAN of perceptrons": PeerTask(
        {"name": "gan", "net": "mlp", "latent": 100, "width": 512, "width_d": 512},
        {"name": "adversarial"},
        28,
        {"lightning_gan": 2.0, "pil_gan": 3.0},
    ),
    "a VAE": PeerTask(
        {"name": "vae", "latent": 16, "width": 32, "pixel_likelihood": "gray_bce"},
        {"name": "elbo"},
        28,
        {"pythae_vae": 1.25},
    ),
    "a VAE of perceptrons": PeerTask(
        {"name": "iwae", "pixel_likelihood": "binarized"}, {"name": "elbo"}, 28, {"pythae_vae": 1.25}
    ),
}
LOOPS = sorted({name for contest in PEER_TASKS.values() for name in contest.peers})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a window [6]")
    asked = parser.parse_args()
    with ExitStack() as stack:
        started = {
            name: LoopProcess(name) for name in ("ours", *LOOPS)
        }  # all import at once, before the first is asked
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = {side: folder / f"{side}.safetensors" for side in {each.side for each in PEER_TASKS.values()}}
        for side, file in files.items():
            save_images(make_digits(side), file)
        loops = {name: stack.enter_context(loop) for name, loop in started.items()}
        for what, contest in PEER_TASKS.items():
            task = Task(contest.model, contest.objective, str(files[contest.side]), torch.get_num_threads())
            run_task(what, contest, task, loops, asked.rounds, asked.seconds)


def make_digits(side: int) -> Images:
    """The training digits, repeated until they are as many as a data set of the field has."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(DataConfig(name="digits", image_size=side), Path(folder))
        train = load_dataset(Path(folder)).train
        return train[torch.arange(IMAGES) % len(train)]


def run_task(
    what: str, contest: PeerTask, task: Task, loops: dict[str, LoopProcess], rounds: int, seconds: float
) -> None:
    """Run the contest and record a row for each peer."""
    ours, found = loops["ours"], {name: list[dict[str, int]]() for name in contest.peers}
    for _ in range(rounds):
        default = (
            {"auto": ours.rate(replace(task, precision="auto"), seconds)} if NATIVE_PRECISION == "bfloat16" else {}
        )
        for couple in in_pairs([name for name in contest.peers if loops[name].absent is None]):
            own = {"ours": ours.rate(task, seconds)}
            for name in couple:
                try:
                    found[name].append(own | {"peer": loops[name].rate(task, seconds)} | default)
                except EOFError as error:
                    loops[name].absent = str(error)
    for name in contest.peers:
        record_peer(what, name, contest, found[name], loops[name].absent)


def in_pairs(names: list[str]) -> list[list[str]]:
    return [names[start : start + 2] for start in range(0, len(names), 2)]


def record_peer(what: str, name: str, contest: PeerTask, pairs: list[dict[str, int]], absent: str | None) -> None:
    title, bound = f"training: {what}, images/s / {name}", contest.peers[name]
    detail: dict[str, Any] = {"model": contest.model, "side": contest.side, "threads": torch.get_num_threads()}
    if absent is not None:
        record(title, 0.0, bound, at_least=True, detail={**detail, "absent": absent})
        return
    if NATIVE_PRECISION == "bfloat16":
        detail["auto"] = round(median(pair["auto"] / pair["peer"] for pair in pairs), 2)
    detail["images_per_second"] = pairs
    ratios = [pair["ours"] / pair["peer"] for pair in pairs]
    record(title, median(ratios), bound, at_least=True, detail=detail, rounds=ratios)


class LoopProcess:
    """The process of one loop; `absent` says in a line why there is none."""

    def __init__(self, name: str) -> None:
        self.absent: str | None = None
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        python = sys.executable if name == "ours" else PEERS_PYTHON
        command = [str(python), "-m", f"benchmarks.loops.{name}"]
        if not Path(python).exists():
            self.absent = "the environment of the peers; `make peers` makes it"
            return
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def rate(self, task: Task, seconds: float) -> int:
        """Images per second of its next window, which is of this task."""
        assert self.process.stdin is not None
        print(json.dumps({"task": asdict(task), "seconds": seconds}), file=self.process.stdin, flush=True)
        return round(self.answer()["images_per_second"])

    def answer(self) -> dict[str, Any]:
        """Its next line; raises EOFError with the last line of its errors where it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise EOFError((self.errors.read().strip() or "no error given").splitlines()[-1])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> LoopProcess:
        """Wait until it has imported what it needs."""
        try:
            if self.absent is None:
                self.answer()
        except EOFError as error:
            self.absent = str(error)
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "process"):
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()
        self.errors.close()


if __name__ == "__main__":
    main()
