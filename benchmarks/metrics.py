"""The metrics against the programs that others measure with: the same features, equal values, time and peak memory.

`python -m benchmarks.metrics [--rounds N] [--rows N] [--features D]`. Each side works in a process of its own, in turn
with the other, with all cores; importing and making the features is not in the time, and the peak holds both.
Ratios are medians over rounds: how many times longer the other takes, and our peak over its.

Ours computes its intervals too, where the others give a number. Values agree within `apart`, the most that may lie
between them; for the kernel distance, whose published form is a mean over random subsets, ours is computed on the very
subsets that torch-fidelity draws.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.alone import IsolatedWork, WorkResult
from benchmarks.results import record

if TYPE_CHECKING:
    from torch import Tensor

    from genlib.metrics.inputs import MetricInputs

K, NUM_SUBSETS, SUBSET_SIZE, WARMUP_ROWS = 5, 100, 1000, 200
Values = Mapping[str, float]
Side = Callable[["Tensor", "Tensor"], Values]


@dataclass(frozen=True)
class Comparison:
    """Two sides that compute the same values of features x (generated) and y (real), float32 [n, d]. `checked`: what
    of ours is held against theirs instead of `ours`, untimed. `apart`: the most that may lie between two values, of
    the larger. `faster`: how many times, at the least; `memory`: our peak over theirs, at the most."""

    name: str
    ours: Side
    theirs: Side
    apart: float
    faster: float
    memory: float
    checked: Side | None = None


# --- ours


def prdc_ours(x: Tensor, y: Tensor) -> Values:
    return metric_values(x, y, "precision", "recall", "density", "coverage")


def fidelity_ours(x: Tensor, y: Tensor) -> Values:
    """With density and coverage, which take no time beside precision and recall."""
    return metric_values(x, y, "precision", "recall", "density", "coverage", "kid")


def fidelity_on_their_subsets(x: Tensor, y: Tensor) -> Values:
    """The kernel distance on the subsets that torch-fidelity draws."""
    from genlib.metrics.kid import mmd

    found = [mmd(x[a].double(), y[b].double()) for a, b in draw_subsets(len(x), len(y))]
    return {**metric_values(x, y, "precision", "recall"), "kid": sum(found) / NUM_SUBSETS}


def frechet_ours(x: Tensor, y: Tensor) -> Values:
    from genlib.metrics.frechet import frechet_distance

    return {"frechet": frechet_distance(x.double(), y.double())}


def kernel_ours(x: Tensor, y: Tensor) -> Values:
    from genlib.metrics.kid import mmd

    return {"kid": mmd(x, y)}


def nearest_ours(x: Tensor, y: Tensor) -> Values:
    from genlib.metrics.stats.neighbours import nearest

    distances, rows = nearest(x, y, K)
    return {"mean distance": float(distances.mean()), "sum of rows": float(rows.sum())}


def close_pairs_ours(x: Tensor, y: Tensor) -> Values:
    import torch

    from genlib.metrics.stats.birthday import DuplicateThresholds, PointSet

    points = PointSet(x, torch.zeros(len(x), dtype=torch.long))
    return {"pairs": float(DuplicateThresholds({0: close_radius(x)}, 0.0).duplicate_counts(points).sum() // 2)}


def metric_values(x: Tensor, y: Tensor, *names: str) -> Values:
    from genlib.metrics.precision_recall import count_ball_members
    from genlib.metrics.registry import get_metric

    count_ball_members.cache_clear()  # what the last round found of the same tensors
    evidence = make_inputs(x, y)
    return {name: float(get_metric(name)(evidence).value or 0.0) for name in names}


def make_inputs(x: Tensor, y: Tensor) -> MetricInputs:
    """Generated features x before real ones y; pictures of 8 x 8 and ten classes are made up from them."""
    import torch

    from genlib.metrics.inputs import FeatureSet, MetricInputs

    def view(part: Tensor) -> FeatureSet:
        pixels = (50 * part[:, :64]).clamp(0, 255).byte().view(-1, 1, 8, 8)
        classes = torch.nn.functional.one_hot(part[:, :10].argmax(1), 10).float()
        return FeatureSet(pixels, None, part, classes)

    real = view(y)
    return MetricInputs(real, real, real, view(x), 0)


# --- theirs


def prdc_theirs(x: Tensor, y: Tensor) -> Values:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return {name: float(value) for name, value in compute_prdc(y.numpy(), x.numpy(), K).items()}


def fidelity_theirs(x: Tensor, y: Tensor) -> Values:
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    shares = prc_features_to_metric(x, y, prc_neighborhood=K, prc_batch_size=10_000, save_cpu_ram=False, verbose=False)
    kid = kid_features_to_metric(
        x, y, kid_subsets=NUM_SUBSETS, kid_subset_size=subset_size(x), rng_seed=2020, verbose=False
    )
    return {
        "precision": shares["precision"],
        "recall": shares["recall"],
        "kid": kid["kernel_inception_distance_mean"],
    }


def frechet_theirs(x: Tensor, y: Tensor) -> Values:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    found = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), False)
    return {"frechet": found["frechet_inception_distance"]}


def kernel_theirs(x: Tensor, y: Tensor) -> Values:
    from torchmetrics.image.kid import poly_mmd

    return {"kid": float(poly_mmd(x, y))}


def nearest_theirs(x: Tensor, y: Tensor) -> Values:
    from sklearn.neighbors import NearestNeighbors

    distances, rows = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(y.numpy()).kneighbors(x.numpy())
    return {"mean distance": float(distances.mean()), "sum of rows": float(rows.sum())}


def close_pairs_theirs(x: Tensor, y: Tensor) -> Values:
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(radius=close_radius(x), algorithm="brute").fit(x.double().numpy())
    return {"pairs": (found.radius_neighbors_graph().nnz) // 2}


# --- what both are given


def prepare_features(side: Side, rows: int, width: int) -> tuple[Tensor, Tensor]:
    """The features, once `side` was tried on a few of them."""
    x, y = make_features(rows, width)
    side(x[:WARMUP_ROWS], y[:WARMUP_ROWS])
    return x, y


def make_features(rows: int, width: int) -> tuple[Tensor, Tensor]:
    """Features as a net has them: rectified, of few directions and ten classes, generated ones a little off."""
    import torch

    generator = torch.Generator().manual_seed(0)
    spread, centres = torch.randn(24, width, generator=generator) / 5, torch.randn(10, width, generator=generator)

    def drawn(shift: float) -> Tensor:
        codes = torch.randn(rows, 24, generator=generator) * (1 + shift) + shift
        noise = torch.randn(rows, width, generator=generator) / 10
        return (codes @ spread + centres[torch.randint(10, (rows,), generator=generator)] + noise).relu()

    return drawn(0.1), drawn(0.0)


def subset_size(x: Tensor) -> int:
    """Of a subset: 1,000 rows, or half of fewer than 2,000."""
    return min(SUBSET_SIZE, len(x) // 2)


def draw_subsets(n: int, m: int) -> list[tuple[Any, Any]]:
    """The rows that torch-fidelity draws."""
    import numpy as np

    rng, drawn = np.random.RandomState(2020), min(SUBSET_SIZE, n // 2)
    return [(rng.choice(n, drawn, replace=False), rng.choice(m, drawn, replace=False)) for _ in range(NUM_SUBSETS)]


def close_radius(x: Tensor) -> float:
    """A radius that few pairs are within: a thousandth of those of the first thousand rows, between two of them."""
    import torch

    some = torch.pdist(x[:1000].double()).sort().values
    at = len(some) // 1000
    return float((some[at] + some[at + 1]) / 2)


FIDELITY = Comparison(
    "torch-fidelity: KID, precision, recall", fidelity_ours, fidelity_theirs, 1e-3, 3, 0.5, fidelity_on_their_subsets
)
PRDC = Comparison("prdc: precision, recall, density, coverage", prdc_ours, prdc_theirs, 1e-3, 3, 0.5)
OTHERS = (
    Comparison("torch-fidelity: Fréchet distance", frechet_ours, frechet_theirs, 1e-5, 1, 1),
    Comparison("torchmetrics: KID on all rows", kernel_ours, kernel_theirs, 1e-3, 1, 0.5),
    Comparison("scikit-learn: five nearest", nearest_ours, nearest_theirs, 1e-6, 1, 1),
    Comparison("scikit-learn: pairs within a radius", close_pairs_ours, close_pairs_theirs, 0, 1, 1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=512)
    asked = parser.parse_args()
    shape = asked.rows, asked.features
    contests = (FIDELITY, PRDC, *OTHERS)
    found: dict[str, list[tuple[WorkResult, WorkResult]]] = {contest.name: [] for contest in contests}
    with ExitStack() as ends:
        pairs = {
            contest.name: (
                IsolatedWork(prepare_features, contest.ours, *shape),
                IsolatedWork(prepare_features, contest.theirs, *shape),
            )
            for contest in contests
        }
        for process in (side for pair in pairs.values() for side in pair):
            ends.enter_context(process)
        for _ in range(asked.rounds):
            for name, (ours, theirs) in pairs.items():
                found[name].append((ours(), theirs()))
    record_combined(found[FIDELITY.name], found[PRDC.name])
    for contest in contests:
        record_comparison(contest, found[contest.name], *shape)


def record_combined(fidelity: list[tuple[WorkResult, WorkResult]], prdc: list[tuple[WorkResult, WorkResult]]) -> None:
    """All five metrics against both programs that it takes to have them: their seconds summed, the higher peak."""
    rounds = [(done, a, b) for (done, a), (_, b) in zip(fidelity, prdc, strict=True)]
    detail = {"seconds": [[round(side.seconds, 2) for side in each] for each in rounds]}
    faster = [(a.seconds + b.seconds) / done.seconds for done, a, b in rounds]
    smaller = [done.peak / max(a.peak, b.peak) for done, a, b in rounds]
    name = "evaluation: torch-fidelity (KID, precision, recall) and prdc"
    record(f"{name}, their seconds / ours", median(faster), 3, at_least=True, detail=detail, rounds=faster)
    record(f"{name}, our peak / theirs", median(smaller), 0.5, at_least=False, detail={}, rounds=smaller)


def record_comparison(contest: Comparison, pairs: list[tuple[WorkResult, WorkResult]], rows: int, width: int) -> None:
    """Record the ratios of time and memory, and how far apart the values are."""
    checked = contest.checked(*make_features(rows, width)) if contest.checked else pairs[0][0].value
    gap = largest_difference(checked, pairs[0][1].value)
    detail: dict[str, Any] = {
        "rows": rows,
        "features": width,
        "values": {"ours": checked, "theirs": pairs[0][1].value},
        "apart": gap,
        "seconds": [[round(side.seconds, 2) for side in pair] for pair in pairs],
        "MiB": [[side.peak for side in pair] for pair in pairs],
        "MiB_before": [side.before for side in pairs[0]],
    }
    faster, smaller = [b.seconds / a.seconds for a, b in pairs], [a.peak / b.peak for a, b in pairs]
    name = f"evaluation: {contest.name}"
    record(f"{name}, its seconds / ours", median(faster), contest.faster, at_least=True, detail=detail, rounds=faster)
    record(f"{name}, our peak / its", median(smaller), contest.memory, at_least=False, detail={}, rounds=smaller)
    if contest.apart:
        record(f"{name}, values apart / {contest.apart:g}", gap / contest.apart, 1, at_least=False, detail={})
    else:
        record(f"{name}, values apart", gap, 0, at_least=False, detail={})


def largest_difference(ours: Values, theirs: Values) -> float:
    """The most that lies between two values of one name, of the larger."""
    gaps = [abs(ours[name] - theirs[name]) / max(abs(ours[name]), abs(theirs[name]), 1e-300) for name in theirs]
    return max(gaps)


if __name__ == "__main__":
    main()
