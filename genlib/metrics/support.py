"""Are they all alike? How many different images a generator seems to draw from, by the birthday paradox."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.human.questions import pair_id
from genlib.human.raters import majority_same
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.birthday import (
    DuplicateThresholds,
    PointSet,
    calibrate_thresholds,
    correlation_integral,
    num_pairs,
)
from genlib.metrics.stats.clustering import classes_or_clusters
from genlib.metrics.stats.intervals import Z, group_slices, mean_interval, wilson

NUM_BATCHES = 50
EXPECTED_COLLISIONS = 50
NUM_CLOSEST = 20
MAX_RATED_PAIRS = 50  # pairs, at the most, that people are asked about
ZERO_COLLISION_SOLUTION = 4.744  # solves exp(-a) (1 + a) = 0.05
CURVE_RADII = torch.logspace(-2, 0.25, 40, dtype=torch.float64)  # of the curve, in units of the spread of test images
MAIN_SPACE = "features"
MAX_CURVE_IMAGES = 2000  # images of each set, at the most, whose pairs make the curve


@metric(min_images=2 * NUM_BATCHES, must_detect={"collapse": "lower", "stored": "count"})
def support(inputs: MetricInputs) -> MetricResult:
    """1 / U, U the share of all pairs of generated images that are the same: the effective number 1 / sum_i p_i^2.

    The birthday paradox test (Arora and Zhang 2017) as Simpson's (1949) unbiased estimate of sum p^2. Two images are
    the same under radii at which real test images of this number would show 50 chance collisions; so real images score
    about (n choose 2) / 50, and that is the most the test can tell apart. Interval: `simpson`. With no collision the
    value is a lower bound and `detail.more_than` is true.

    The value is by the judge's features; `detail.embeddings` has it by others too, each with radii of its own.
    `detail.batches` gives the test in its first form, and `detail.curve` needs no radius. Where people were asked, only
    what they confirmed counts: see `by_people`.
    """
    n = inputs.n
    rate = EXPECTED_COLLISIONS / num_pairs(n)
    tests = {name: (calibrate_thresholds(real, rate), made) for name, real, made in embedding_spaces(inputs)}
    counts = {name: count_duplicates(sameness, made) for name, (sameness, made) in tests.items()}
    (sameness, made), count = tests[MAIN_SPACE], counts[MAIN_SPACE]
    units, closest = sameness.closest_scaled_pairs(made, NUM_CLOSEST)
    pairs, asked = select_pairs_to_rate(inputs, made, sameness)
    value, low, high = count["value"], count["low"], count["high"]
    people, same = read_pair_ratings(inputs, sameness, asked)
    if same is not None:
        value, low, high = support_from_ratings(pairs, same, n, count)
    detail = {
        "threshold": f"per kind; {sameness.rate:.2g} of all pairs of {len(inputs.test)} test images are the same",
        "radius": sameness.radius,
        "pairs": num_pairs(n),
        "rate": count["rate"],
        "collisions": count["collisions"],
        "more_than": high is None,
        "people": people,
        "asked": dict(zip(asked, pairs.tolist(), strict=True)),
        "embeddings": counts,
        "batches": birthday_batch_test(made, sameness),
        "curve": correlation_curve(inputs),
        "closest_pairs": closest,
        "closest_distances": units,
    }
    return MetricResult(value, low, high, n=n, detail=detail)


def embedding_spaces(inputs: MetricInputs) -> Iterator[tuple[str, PointSet, PointSet]]:
    """(name, test images, generated images) by the judge's features, the second judge's and the pixels, as far as they
    are finite."""
    for name, seen in ((MAIN_SPACE, inputs), ("second", inputs.second_inputs)):
        if seen is not None and seen.generated.features.isfinite().all() and seen.test.features.isfinite().all():
            kind = classes_or_clusters(seen)
            real, made = (PointSet(view.features, kind(view)) for view in (seen.test, seen.generated))
            yield name, real, made
    kind = classes_or_clusters(inputs)
    real, made = (PointSet(view.pixels.flatten(1), kind(view)) for view in (inputs.test, inputs.generated))
    yield "pixels", real, made


def count_duplicates(thresholds: DuplicateThresholds, generated: PointSet) -> dict[str, Any]:
    """The test's outcome on `made`: 1 / U with its interval, and how many pairs are the same."""
    partners = thresholds.duplicate_counts(generated)
    value, low, high = simpson_estimate(partners)
    collisions = int(partners.sum()) // 2
    return {
        "value": value,
        "low": low,
        "high": high,
        "more_than": high is None,
        "collisions": collisions,
        "rate": thresholds.rate,
    }


def select_pairs_to_rate(
    inputs: MetricInputs, generated: PointSet, thresholds: DuplicateThresholds
) -> tuple[Tensor, list[str]]:
    """The pairs of generated images that people are asked about, int64 [m, 2], and their names: those that are the
    same, or ASKED of them at random."""
    pairs = thresholds.sample_duplicates(generated, MAX_RATED_PAIRS, seeded_generator(inputs.seed, "asked"))
    return pairs, [pair_id(*inputs.generated.pixels[pair]) for pair in pairs]


def read_pair_ratings(
    inputs: MetricInputs, thresholds: DuplicateThresholds, pair_names: Sequence[str]
) -> tuple[dict[str, int] | None, Tensor | None]:
    """How far people have answered, None where nobody has; and which pairs of `asked` they call the same, bool [m].

    They are heard once each pair has an answer, those of real images too: else the null would be held to more.
    """
    said = majority_same(inputs.ratings)
    if not said:
        return None, None
    null = inputs.with_real_samples()
    _, real = select_pairs_to_rate(
        null, PointSet(null.generated.features, classes_or_clusters(null)(null.generated)), thresholds
    )
    missing = {*pair_names, *real} - said.keys()
    if missing:
        return {"missing": len(missing)}, None
    same = torch.tensor([said[name] for name in pair_names], dtype=torch.bool)
    return {"shown": len(same), "confirmed": int(same.sum())}, same


def support_from_ratings(
    pairs: Tensor, confirmed_mask: Tensor, n: int, outcome: dict[str, Any]
) -> tuple[float, float, float | None]:
    """(1 / U, low, high) of n images where only those `pairs` are the same that people call so.

    The share s of m pairs, drawn from the C that the radii call the same, stands for all of them, which adds
    (1 - s) / (s m) (C - m) / (C - 1) to the relative variance of U. With none confirmed: no less than the
    low end for all C over Wilson's upper end of 0 of m.
    """
    shown, confirmed, every = len(pairs), int(confirmed_mask.sum()), max(len(pairs), outcome["collisions"])
    partners = pairs[confirmed_mask].flatten().bincount(minlength=n)
    if confirmed == 0:
        bound = simpson_estimate(partners)[0]
        bound = bound if shown == every else min(bound, outcome["low"] / wilson(0, shown)[1])
        return bound, bound, None
    doubt = (shown - confirmed) / (confirmed * shown) * (every - shown) / max(1, every - 1)
    return simpson_estimate(partners, every / shown, doubt)


def simpson_estimate(
    duplicates: Tensor, scale: float = 1.0, extra_variance: float = 0.0
) -> tuple[float, float, float | None]:
    """(1 / U, low, high) from how many others each of n draws equals, int64 [n].

    U = sum_i c_i / (n (n - 1)), W = sum_i c_i (c_i - 1) / (n (n - 1) (n - 2)) estimates sum p^3, and
    Var U = (4 (n - 2) (W - U^2) + 2 U (1 - U)) / (n (n - 1)); the interval is taken on log U. With no collision:
    n^2 / a^2 with exp(-a) (1 + a) = 0.05, below which n draws collide 19 times in 20 whatever p is, and no upper end.
    `scale`: how many pairs stand behind each that is counted; `doubt`: the relative variance of U that this adds.
    """
    c, n = duplicates.double(), len(duplicates)
    u = scale * float(c.sum()) / (n * (n - 1))
    if u == 0:
        return (n / ZERO_COLLISION_SOLUTION) ** 2, (n / ZERO_COLLISION_SOLUTION) ** 2, None
    w = scale**2 * float((c * (c - 1)).sum()) / (n * (n - 1) * (n - 2))
    variance = (4 * (n - 2) * max(0.0, w - u**2) + 2 * u * (1 - u)) / (n * (n - 1))
    factor = math.exp(Z * math.sqrt(variance / u**2 + extra_variance))
    return 1 / u, max(1.0, 1 / u / factor), 1 / u * factor


def birthday_batch_test(generated: PointSet, thresholds: DuplicateThresholds) -> dict[str, Any]:
    """In how many of 50 disjoint batches two images were the same, and 1 / U with a t-interval over the batches."""
    batches = [generated[part] for part in group_slices(len(generated) // NUM_BATCHES * NUM_BATCHES, NUM_BATCHES)]
    size = len(batches[0])
    return {
        "size": size,
        **summarize_batches([int(thresholds.duplicate_counts(batch).sum()) / (size * (size - 1)) for batch in batches]),
    }


def summarize_batches(shares: Sequence[float]) -> dict[str, Any]:
    """What the shares of pairs that are the same, batch by batch, say of 1 / U; None where they do not bound it."""
    low, high = mean_interval(shares)
    return {
        "number": len(shares),
        "with_collision": sum(share > 0 for share in shares),
        "value": 1 / fmean(shares) if any(shares) else None,
        "low": 1 / high if high > 0 else None,
        "high": 1 / low if low > 0 else None,
    }


def correlation_curve(inputs: MetricInputs) -> dict[str, Tensor]:
    """C(r) of generated, test and, where they are known, training images in the judge's features, over radii in units
    of the spread of test images, the root of twice their summed variances: the root mean square distance of two."""
    real = inputs.real.features
    n = min(len(real), MAX_CURVE_IMAGES)
    spread = (2 * real.double().var(0).sum()).sqrt()
    sets = {"fake": inputs.generated.features[:n], "test": real[:n]}
    if inputs.train.is_available:
        chosen = torch.randperm(len(inputs.train), generator=seeded_generator(inputs.seed, "curve"))[:n]
        sets["train"] = inputs.train.features[chosen]
    return {"radius": CURVE_RADII} | {name: correlation_integral(x, CURVE_RADII * spread) for name, x in sets.items()}
