"""Effective support size by the birthday paradox: from the rate of near-duplicates."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.human.questions import pair_id
from genlib.human.raters import majority_same
from genlib.metrics.base import MetricInputs, MetricResult, metric, shortfall
from genlib.metrics.stats import birthday
from genlib.metrics.stats.birthday import DuplicateThresholds, PointSet, num_pairs
from genlib.metrics.stats.intervals import Z, group_slices, mean_interval, wilson

NUM_BATCHES = 50
EXPECTED_COLLISIONS = 50
NUM_CLOSEST = 20
MAX_RATED_PAIRS = 50  # pairs, at the most, that people are asked about
ZERO_COLLISION_SOLUTION = 4.744  # solves exp(-a) (1 + a) = 0.05
CURVE_RADII = torch.logspace(-2, 0.25, 40, dtype=torch.float64)  # of the curve, in units of the spread of test images
MAX_CURVE_IMAGES = 2000  # images of each set, at the most, whose pairs make the curve


def simpson_of_features(inputs: MetricInputs) -> float:
    _, (real, generated) = next(embedding_spaces(inputs))
    thresholds = birthday.calibrate_thresholds(real, EXPECTED_COLLISIONS / num_pairs(inputs.n))
    return simpson_estimate(thresholds.duplicate_counts(generated))[0]


@metric(
    question=("Diverse?", 1),
    min_images=2 * NUM_BATCHES,
    must_detect={"collapse": "lower", "stored": "count"},
    in_verdict=True,
    fault_share=shortfall,
    statistic=simpson_of_features,
    bounds=(1, float("inf")),
)
def support(inputs: MetricInputs) -> MetricResult:
    """1 / U, U the share of pairs of generated images that are the same: the effective number 1 / sum_i p_i^2.

    The birthday paradox test (Arora and Zhang 2017) as Simpson's (1949) unbiased estimate of sum p^2. Images are the
    same under radii at which as many real test images show 50 chance collisions. Without one the value is a lower
    bound, `detail.more_than`. Where people were asked, only what they confirm counts.
    """
    n = inputs.n
    rate = EXPECTED_COLLISIONS / num_pairs(n)
    spaces = embedding_spaces(inputs)
    tests = {name: (birthday.calibrate_thresholds(real, rate), points) for name, (real, points) in spaces}
    counts = {name: count_duplicates(thresholds, points) for name, (thresholds, points) in tests.items()}
    (thresholds, points), count = tests["features"], counts["features"]
    distances, closest = thresholds.closest_scaled_pairs(points, NUM_CLOSEST)
    pairs, names = select_pairs_to_rate(inputs, points, thresholds)
    value, low, high = count["value"], count["low"], count["high"]
    people, same = read_pair_ratings(inputs, thresholds, names)
    if same is not None:
        value, low, high = support_from_ratings(pairs, same, n, count)
    detail = {
        "threshold": f"per kind; {thresholds.rate:.2g} of all pairs of {len(inputs.test)} test images are the same",
        "radius": thresholds.radius,
        "pairs": num_pairs(n),
        "rate": count["rate"],
        "collisions": count["collisions"],
        "more_than": high is None,
        "people": people,
        "asked": dict(zip(names, pairs.tolist(), strict=True)),
        "embeddings": counts,
        "batches": birthday_batch_test(points, thresholds),
        "curve": correlation_curve(inputs),
        "closest_pairs": closest,
        "closest_distances": distances,
    }
    return MetricResult(value, low, high, n=n, detail=detail)


def embedding_spaces(inputs: MetricInputs) -> Iterator[tuple[str, list[PointSet]]]:
    """The name, test images and generated images of the finite features of both extractors, and of pixels."""
    for name, space in (("features", inputs), ("second", inputs.second_inputs)):
        if space and space.generated.features.isfinite().all() and space.test.features.isfinite().all():
            cluster_of = space.classes_or_clusters()
            yield name, [PointSet(images.features, cluster_of(images)) for images in (space.test, space.generated)]
    cluster_of, sets = inputs.classes_or_clusters(), (inputs.test, inputs.generated)
    yield "pixels", [PointSet(images.pixels, cluster_of(images)) for images in sets]


def count_duplicates(thresholds: DuplicateThresholds, generated: PointSet) -> dict[str, Any]:
    duplicates = thresholds.duplicate_counts(generated)
    radii = birthday.radii_variance(thresholds, generated, duplicates)
    value, low, high = simpson_estimate(duplicates, extra_variance=radii)
    pairs = {"radii_variance": radii, "collisions": int(duplicates.sum()) // 2, "rate": thresholds.rate}
    return {"value": value, "low": low, "high": high, "more_than": high is None, **pairs}


def select_pairs_to_rate(
    inputs: MetricInputs, generated: PointSet, thresholds: DuplicateThresholds
) -> tuple[Tensor, list[str]]:
    """The pairs int64 [m, 2] that people are asked about, and their names: at most 50 of those that are the same."""
    pairs = thresholds.sample_duplicates(generated, MAX_RATED_PAIRS, seeded_generator(inputs.seed, "asked"))
    return pairs, [pair_id(*inputs.generated.pixels[pair]) for pair in pairs]


def read_pair_ratings(
    inputs: MetricInputs, thresholds: DuplicateThresholds, pair_names: Sequence[str]
) -> tuple[dict[str, int] | None, Tensor | None]:
    """How many pairs have ratings, or lack them, and which ones people call the same, bool [m]: once all have one,
    those of real images included, so that both are treated alike."""
    ratings = majority_same(inputs.ratings)
    if not ratings:
        return None, None
    null = inputs.with_real_samples()
    real_points = PointSet(null.generated.features, null.classes_or_clusters()(null.generated))
    _, real_names = select_pairs_to_rate(null, real_points, thresholds)
    if missing := {*pair_names, *real_names} - ratings.keys():
        return {"missing": len(missing)}, None
    same = torch.tensor([ratings[name] for name in pair_names], dtype=torch.bool)
    return {"shown": len(same), "confirmed": int(same.sum())}, same


def support_from_ratings(
    pairs: Tensor, confirmed_mask: Tensor, n: int, outcome: dict[str, Any]
) -> tuple[float, float, float | None]:
    """(1 / U, low, high) of n images where only those `pairs` are the same that people call so. The share s of m pairs,
    drawn from the C that the radii call the same, stands for all of them, which adds (1 - s) / (s m) (C - m) / (C - 1)
    to the relative variance of U. None confirmed: at least low of all C over Wilson's upper end of 0 of m."""
    num_rated, confirmed, num_same = len(pairs), int(confirmed_mask.sum()), max(len(pairs), outcome["collisions"])
    duplicates = pairs[confirmed_mask].flatten().bincount(minlength=n)
    if confirmed == 0:
        bound = simpson_estimate(duplicates)[0]
        bound = bound if num_rated == num_same else min(bound, outcome["low"] / wilson(0, num_rated)[1])
        return bound, bound, None
    shown = (num_rated - confirmed) / (confirmed * num_rated) * (num_same - num_rated) / max(1, num_same - 1)
    return simpson_estimate(duplicates, num_same / num_rated, shown + outcome.get("radii_variance", 0.0))


def simpson_estimate(
    duplicates: Tensor, scale: float = 1.0, extra_variance: float = 0.0
) -> tuple[float, float, float | None]:
    """(1 / U, low, high) from how many others each of n draws equals, int64 [n].

    U = sum_i c_i / (n (n - 1)); the interval is taken on log U, by `birthday.relative_variance`. With no collision:
    n^2 / a^2 with exp(-a) (1 + a) = 0.05, below which n draws collide 19 times in 20 whatever p is, and no upper end.
    `scale`: how many pairs each counted one stands for; `extra_variance`: the relative variance of U that this adds.
    """
    c, n = duplicates.double(), len(duplicates)
    u = scale * float(c.sum()) / (n * (n - 1))
    if u == 0:
        return (n / ZERO_COLLISION_SOLUTION) ** 2, (n / ZERO_COLLISION_SOLUTION) ** 2, None
    factor = math.exp(Z * math.sqrt(birthday.relative_variance(duplicates, scale) + extra_variance))
    return 1 / u, max(1.0, 1 / u / factor), 1 / u * factor


def birthday_batch_test(generated: PointSet, thresholds: DuplicateThresholds) -> dict[str, Any]:
    """In how many of 50 disjoint batches two images were the same, and 1 / U with a t-interval over the batches."""
    batches = [generated[part] for part in group_slices(len(generated) // NUM_BATCHES * NUM_BATCHES, NUM_BATCHES)]
    size = len(batches[0])
    shares = [int(thresholds.duplicate_counts(batch).sum()) / (size * (size - 1)) for batch in batches]
    return {"size": size, **summarize_batches(shares)}


def summarize_batches(shares: Sequence[float]) -> dict[str, Any]:
    """1 / U from the shares of pairs that are the same, batch by batch; None where they do not bound it."""
    low, high = mean_interval(shares)
    ends = {name: 1 / x if x > 0 else None for name, x in (("value", fmean(shares)), ("low", high), ("high", low))}
    return {"number": len(shares), "with_collision": sum(share > 0 for share in shares), **ends}


def correlation_curve(inputs: MetricInputs) -> dict[str, Tensor]:
    """C(r) of generated, test and training images, in features, r in root mean square distances of two test images."""
    real = inputs.real.features
    n = min(len(real), MAX_CURVE_IMAGES)
    radii = CURVE_RADII * (2 * real.double().var(0).sum()).sqrt()
    sets = {"fake": inputs.generated.features[:n], "test": real[:n]}
    if inputs.train.is_available:
        rows = torch.randperm(len(inputs.train), generator=seeded_generator(inputs.seed, "curve"))[:n]
        sets["train"] = inputs.train.features[rows]
    return {"radius": CURVE_RADII} | {name: birthday.correlation_integral(x, radii) for name, x in sets.items()}
