"""What a GPU makes of the training loop: images a second of three nets, against the floor of one captured graph.

`python -m benchmarks.gpu [--rounds N] [--seconds S] [--data FOLDER --runs FOLDER]`; needs CUDA and torch, numpy,
safetensors alone. Every round trains each net in turn as it is (float32), in bfloat16, with weights not channels last,
with its turns compiled, and as one CUDA graph: the same step on one batch, its draws made on the GPU, no image pool.
Nothing of ours can be faster than that graph; the ratio is the best form of the loop over it.

With prepared MNIST and the folders of its judges the GAN and the VAE of presets/mnist.yaml are trained until judge B
finds them as good as docs/results.md says they became, and the seconds are told.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.results import record
from genlib.data.batches import Batch
from genlib.data.dataset import load_dataset
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.evaluation.evaluator import Evaluator
from genlib.metrics.registry import get_metric
from genlib.training.config import TrainConfig
from genlib.training.fit import build_objective, build_train_state, fit
from genlib.training.job import TrainingJob, TrainingSpec
from genlib.training.loop import freeze_except, train
from genlib.training.state import TrainState

SHAPE, IMAGES, STEPS, WARMUP_STEPS = (3, 64, 64), 8192, 20, 3
CONFIG = TrainConfig(IMAGES, 128, precision="float32")
NETS = {
    "vae": TrainingSpec("vae", {"name": "vae", "latent": 64, "width": 64}, {"name": "elbo"}, CONFIG),
    "dcgan": TrainingSpec(
        "dcgan", {"name": "dcgan", "latent": 100, "width": 64, "width_d": 64}, {"name": "adversarial"}, CONFIG
    ),
    "cyclegan": TrainingSpec(
        "cyclegan",
        {"name": "cyclegan", "width": 64, "blocks": 6, "width_d": 64},
        {"name": "translation"},
        replace(CONFIG, batch_size=16),
    ),
}
VARIANTS = ("float32", "bfloat16", "not channels last", "compiled")
FLOOR, BOUND = "captured graph", 0.7
MNIST = {  # as in presets/mnist.yaml, and the upper end of the interval of its KID in docs/results.md
    "gan": (
        {"name": "gan", "latent": 64, "width": 64, "width_d": 32},
        {"name": "adversarial", "r1": 1.0, "lazy_reg_interval": 8},
        TrainConfig(
            576_000, lr=2e-3, beta1=0.0, beta2=0.99, schedule="linear", decay_start=0.3, ema=0.998, report_every=24_000
        ),
        0.054,
    ),
    "vae": (
        {"name": "vae", "latent": 12, "width": 32, "pixel_likelihood": "gray_bce"},
        {"name": "elbo"},
        TrainConfig(360_000, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.998, report_every=24_000),
        0.702,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--data", type=Path, help="prepared MNIST")
    parser.add_argument("--runs", type=Path, default=Path("runs/train"), help="where its judge `scorer` lies")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.gpu: got no CUDA device, expected a machine that has one", file=sys.stderr)
        return 2
    for name, job in NETS.items():
        measure_throughput(name, job, asked.rounds, asked.seconds)
    for name in MNIST if asked.data else ():
        measure_time_to_quality(name, asked.data, asked.runs)
    return 0


# --- images a second


def measure_throughput(name: str, job: TrainingSpec, rounds: int, seconds: float) -> None:
    steps: dict[str, Callable[[], object]] = {form: loop_steps(job, form) for form in VARIANTS}
    steps[FLOOR] = capture_graph(job)
    found = [{form: images_per_second(step, job, seconds) for form, step in steps.items()} for _ in range(rounds)]
    best = [max(each[form] for form in VARIANTS) / each[FLOOR] for each in found]
    detail = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "batch": job.train.batch_size,
        "images_per_second": {form: round(median(each[form] for each in found)) for form in steps},
    }
    record(f"gpu: {name}, best loop / captured graph", median(best), BOUND, at_least=True, detail=detail, rounds=best)


def images_per_second(steps: Callable[[], object], job: TrainingSpec, seconds: float) -> float:
    """Images a second of what takes STEPS steps at every call, the first of which is not counted."""
    steps()
    torch.cuda.synchronize()
    began, times = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        steps()
        torch.cuda.synchronize()
        times += 1
    return times * STEPS * job.train.batch_size / (time.perf_counter() - began)


def loop_steps(job: TrainingSpec, form: str) -> Callable[[], object]:
    """STEPS steps of `train()` as it is, in this form."""
    state, plan = start_state(job), job.train
    if form == "not channels last":
        state.model.to(memory_format=torch.contiguous_format)
    if form == "compiled":
        state.phases = tuple(replace(turn, step_losses=torch.compile(turn.step_losses)) for turn in state.phases)
    precision = "float32" if form == "float32" else "bfloat16"
    endless = replace(
        plan, total_images=2**62, precision=precision, report_every=STEPS * plan.batch_size, checkpoint_every=2**62
    )
    other = noise_images("b") if job.name == "cyclegan" else None
    reports = train(state, noise_images("a"), endless, domain_b=other)
    return lambda: next(reports)


def start_state(job: TrainingSpec) -> TrainState:
    return build_train_state(job, build_objective(job), SHAPE, 0, 2, torch.device("cuda"))


def noise_images(name: str) -> Images:
    return Images(torch.randint(0, 256, (IMAGES, *SHAPE), dtype=torch.uint8, generator=seeded_generator(name)).cuda())


class GraphBatch(Batch):
    """A batch of whose draws a graph can be captured: made on the GPU, by its default generator."""

    def _draw(self, sampler: Callable[..., Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
        return sampler(self.global_size, *shape, device=self.pixels.device)


def capture_graph(job: TrainingSpec) -> Callable[[], object]:
    """The replay of whole steps: terms, gradients and Adam of every turn, in bfloat16."""
    state, _ = start_state(job)
    n = job.train.batch_size
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["capturable"] = True
    for pool in getattr(state.model, "pool", nn.ModuleDict()).values():
        pool.query = lambda fakes, seen, draw: fakes  # its draws are the CPU's
    x, other = (noise_images(name).pixels[:n] for name in "ab")

    def step() -> None:
        two = GraphBatch(other, None, n, slice(0, n), 0, 1)
        batch = GraphBatch(x, None, n, slice(0, n), 0, 1, two)
        for turn, optimizer in zip(state.phases, state.optimizers, strict=True):
            freeze_except(turn.module, state.model)
            with torch.autocast("cuda", torch.bfloat16):
                terms = turn.step_losses(batch)
            torch.autograd.backward(terms.loss.sum() / n)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARMUP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: [graph.replay() for _ in range(STEPS)]


# --- seconds to a quality


def measure_time_to_quality(name: str, data: Path, runs: Path) -> None:
    """Seconds of training until judge B's KID of 5,000 images is as low as it became; judging is not counted."""
    model, objective, plan, wanted = MNIST[name]
    bench = Evaluator.from_folder(runs / "scorer", load_dataset(data))
    spent, resumed, path = 0.0, time.monotonic(), []
    for progress in fit(TrainingJob(name, model, objective, plan, load_dataset(data))):
        spent += time.monotonic() - resumed
        if progress.model is not None:
            kid = get_metric("kid")(bench.test_inputs(progress.model, 5000, 0)[""]).value
            path.append({"images": progress.images_seen, "seconds": round(spent, 1), "kid": kid})
            if kid is not None and kid <= wanted:
                break
        resumed = time.monotonic()
    detail = {"device": torch.cuda.get_device_name(), "wanted": wanted, "path": path, "seconds": round(spent, 1)}
    record(f"gpu: MNIST {name}, KID reached / wanted", path[-1]["kid"] / wanted, 1.0, at_least=False, detail=detail)


if __name__ == "__main__":
    sys.exit(main())
