"""How often the 95 % intervals of `support` hold the truth: all pairs by Simpson against 50 batches by Student.

Draws of n images from K planted ones, uniform, Zipf's (p_i as 1 / i) and spiked (a tenth of the mass on one image),
with no doubt about which are the same.

Command: `python -m experiments.support [--state FOLDER] [--simulations N]`; the draws are simulated, `--data` is not
read.
Cost: 12 seconds of one core.
Expect: 92.6 to 97.6 % by all pairs, 10.7 to 94.7 % by batches.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from benchmarks.results import record
from experiments.common import FinishedRows, new_parser, open_state
from genlib.data.random import seeded_generator
from genlib.metrics.support import NUM_BATCHES, simpson_estimate, summarize_batches

SIZES, PLANTED = (359, 1_000, 5_000), (100, 1_000, 10_000)
DISTRIBUTIONS = ("uniform", "Zipf", "spike")
LOWEST, HIGHEST = 0.90, 0.98


def main() -> None:
    parser = new_parser(__doc__, "not read")
    parser.add_argument("--simulations", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = ", ".join(DISTRIBUTIONS)
    print(f"| n | planted K | all pairs: {names} | batches: {names} |\n|--:|--:|---|---|")
    found: dict[str, tuple[float, float]] = {}
    with open_state(args.state) as state:
        finished = FinishedRows(state)
        for n, k in product(SIZES, PLANTED):
            row = {}
            for name in DISTRIBUTIONS:
                key = f"n {n}, K {k}, {name}"
                row[key] = finished.get(f"{key}, {args.simulations}", interval_coverage, name, k, n, args.simulations)
            shares_by_method = zip(*row.values(), strict=True)
            pairs, batches = (", ".join(f"{share:.1%}" for share in shares) for shares in shares_by_method)
            print(f"| {n:,} | {k:,} | {pairs} | {batches} |", flush=True)
            found |= row
    detail = {name: {"pairs": pairs, "batches": batches} for name, (pairs, batches) in found.items()}
    shares = [pairs for pairs, _ in found.values()]
    record("support: lowest coverage of the 95 % interval", min(shares), LOWEST, at_least=True, detail=detail)
    record("support: highest coverage of the 95 % interval", max(shares), HIGHEST, at_least=False, detail={})


def interval_coverage(distribution: str, k: int, n: int, simulations: int) -> tuple[float, float]:
    """How often 1 / sum p^2 lies in the interval of all pairs, and in that of batches."""
    p, generator = planted_probabilities(distribution, k), seeded_generator("support", distribution, k, n)
    truth = 1 / float(p.square().sum())
    hits = [0, 0]
    for _ in range(simulations):
        x = torch.multinomial(p, n, replacement=True, generator=generator)
        _, low, high = simpson_estimate(x.bincount(minlength=k)[x] - 1)
        batches = summarize_batches(same_pair_shares(x, k))
        hits[0] += contains(truth, low, high)
        hits[1] += contains(truth, batches["low"], batches["high"])
    return hits[0] / simulations, hits[1] / simulations


def planted_probabilities(distribution: str, k: int) -> Tensor:
    """The chances of K images, float64 [K]."""
    p = torch.ones(k, dtype=torch.float64)
    if distribution == "Zipf":
        p = 1 / torch.arange(1, k + 1, dtype=torch.float64)
    if distribution == "spike":
        p[0] = (k - 1) / 9
    return p / p.sum()


def same_pair_shares(x: Tensor, k: int) -> list[float]:
    """The share of pairs that are the same in each of 50 batches of x, int64 [n], each below k."""
    size = len(x) // NUM_BATCHES
    batch = torch.arange(NUM_BATCHES).repeat_interleave(size)
    which = batch * k + x[: len(batch)]
    partners = which.bincount(minlength=NUM_BATCHES * k)[which] - 1
    return [count / (size * (size - 1)) for count in partners.view(NUM_BATCHES, size).sum(1).tolist()]


def contains(truth: float, low: float | None, high: float | None) -> bool:
    """Whether an interval holds the truth; without a lower end there is none, without an upper one it is open."""
    return low is not None and low <= truth and (high is None or truth <= high)


if __name__ == "__main__":
    main()
