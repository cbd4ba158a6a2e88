"""How often the 95 % intervals of `support` hold the truth: all pairs by Simpson against 50 batches by Student.

`python -m experiments.support [--simulations N]`: draws of n images from K planted ones, uniform, Zipf's (p_i as 1 / i)
and spiked (a tenth of the mass on one image), with no doubt about which are the same. Under a minute of one core.
"""

from __future__ import annotations

import argparse
from itertools import product

import torch
from torch import Tensor

from benchmarks.results import record
from genlib.data.batches import seeded_generator
from genlib.metrics.support import NUM_BATCHES, simpson_estimate, summarize_batches

SIZES, PLANTED = (359, 1_000, 5_000), (100, 1_000, 10_000)
LAWS = ("uniform", "Zipf", "spike")
LOWEST, HIGHEST = 0.90, 0.98


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| n | planted K | all pairs: {', '.join(LAWS)} | batches: {', '.join(LAWS)} |\n|--:|--:|---|---|")
    found: dict[str, tuple[float, float]] = {}
    for n, k in product(SIZES, PLANTED):
        row = {f"n {n}, K {k}, {law}": covered(law, k, n, asked.simulations) for law in LAWS}
        pairs, batches = (", ".join(f"{share:.1%}" for share in shares) for shares in zip(*row.values(), strict=True))
        print(f"| {n:,} | {k:,} | {pairs} | {batches} |", flush=True)
        found |= row
    detail = {name: {"pairs": pairs, "batches": batches} for name, (pairs, batches) in found.items()}
    shares = [pairs for pairs, _ in found.values()]
    record("support: lowest coverage of the 95 % interval", min(shares), LOWEST, at_least=True, detail=detail)
    record("support: highest coverage of the 95 % interval", max(shares), HIGHEST, at_least=False, detail={})


def covered(law: str, k: int, n: int, simulations: int) -> tuple[float, float]:
    """How often 1 / sum p^2 lies in the interval of all pairs, and in that of batches."""
    p, generator = planted(law, k), seeded_generator("support", law, k, n)
    truth = 1 / float(p.square().sum())
    held = [0, 0]
    for _ in range(simulations):
        x = torch.multinomial(p, n, replacement=True, generator=generator)
        _, low, high = simpson_estimate(x.bincount(minlength=k)[x] - 1)
        batches = summarize_batches(alike(x, k))
        held[0] += within(truth, low, high)
        held[1] += within(truth, batches["low"], batches["high"])
    return held[0] / simulations, held[1] / simulations


def planted(law: str, k: int) -> Tensor:
    """The chances of K images, float64 [K]."""
    p = torch.ones(k, dtype=torch.float64)
    if law == "Zipf":
        p = 1 / torch.arange(1, k + 1, dtype=torch.float64)
    if law == "spike":
        p[0] = (k - 1) / 9
    return p / p.sum()


def alike(x: Tensor, k: int) -> list[float]:
    """The share of pairs that are the same in each of 50 batches of x, int64 [n], each below k."""
    size = len(x) // NUM_BATCHES
    batch = torch.arange(NUM_BATCHES).repeat_interleave(size)
    which = batch * k + x[: len(batch)]
    partners = which.bincount(minlength=NUM_BATCHES * k)[which] - 1
    return [count / (size * (size - 1)) for count in partners.view(NUM_BATCHES, size).sum(1).tolist()]


def within(truth: float, low: float | None, high: float | None) -> bool:
    """Whether an interval holds the truth; without a lower end there is none, without an upper one it is open."""
    return low is not None and low <= truth and (high is None or truth <= high)


if __name__ == "__main__":
    main()
