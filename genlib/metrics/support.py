"""Are they all alike? How many different images a generator seems to draw from, by the birthday paradox."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.human.raters import agreed, pair_name
from genlib.metrics.inputs import Evidence
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure
from genlib.metrics.stats.birthday import Points, Sameness, calibrate, near_pairs, pair_count
from genlib.metrics.stats.clustering import kinds
from genlib.metrics.stats.intervals import Z, group_slices, of_mean, wilson

BATCHES = 50
BY_CHANCE = 50
SHOWN = 20
ASKED = 50  # pairs, at the most, that people are asked about
NO_COLLISION = 4.744  # solves exp(-a) (1 + a) = 0.05
RADII = torch.logspace(-2, 0.25, 40, dtype=torch.float64)  # of the curve, in units of the spread of test images
JUDGE = "features"
PAIRED = 2000  # images of each set, at the most, whose pairs make the curve


@metric(minimum=2 * BATCHES, catches={"collapse": "lower", "stored": "count"})
def support(evidence: Evidence) -> Measure:
    """1 / U, U the share of all pairs of generated images that are the same: the effective number 1 / sum_i p_i^2.

    The birthday paradox test (Arora and Zhang 2017) as Simpson's (1949) unbiased estimate of sum p^2. Two images are
    the same under radii at which real test images of this number would show 50 chance collisions; so real images score
    about (n choose 2) / 50, and that is the most the test can tell apart. Interval: `simpson`. With no collision the
    value is a lower bound and `detail.more_than` is true.

    The value is by the judge's features; `detail.embeddings` has it by others too, each with radii of its own.
    `detail.batches` gives the test in its first form, and `detail.curve` needs no radius. Where people were asked, only
    what they confirmed counts: see `by_people`.
    """
    n = evidence.n
    rate = BY_CHANCE / pair_count(n)
    tests = {name: (calibrate(real, rate), made) for name, real, made in embedded(evidence)}
    counts = {name: counted(sameness, made) for name, (sameness, made) in tests.items()}
    (sameness, made), count = tests[JUDGE], counts[JUDGE]
    units, closest = sameness.closest(made, SHOWN)
    pairs, asked = asked_about(evidence, made, sameness)
    value, low, high = count["value"], count["low"], count["high"]
    people, same = answered(evidence, sameness, asked)
    if same is not None:
        value, low, high = by_people(pairs, same, n, count)
    detail = {
        "threshold": f"per kind; {sameness.rate:.2g} of all pairs of {len(evidence.test)} test images are the same",
        "radius": sameness.radius,
        "pairs": pair_count(n),
        "rate": count["rate"],
        "collisions": count["collisions"],
        "more_than": high is None,
        "people": people,
        "asked": dict(zip(asked, pairs.tolist(), strict=True)),
        "embeddings": counts,
        "batches": batch_test(made, sameness),
        "curve": curve(evidence),
        "closest_pairs": closest,
        "closest_distances": units,
    }
    return Measure(value, low, high, n=n, detail=detail)


def embedded(evidence: Evidence) -> Iterator[tuple[str, Points, Points]]:
    """(name, test images, generated images) by the judge's features, the second judge's and the pixels, as far as they
    are finite."""
    for name, seen in ((JUDGE, evidence), ("second", evidence.second)):
        if seen is not None and seen.made.features.isfinite().all() and seen.test.features.isfinite().all():
            kind = kinds(seen)
            real, made = (Points(view.features, kind(view)) for view in (seen.test, seen.made))
            yield name, real, made
    kind = kinds(evidence)
    real, made = (Points(view.pixels.flatten(1), kind(view)) for view in (evidence.test, evidence.made))
    yield "pixels", real, made


def counted(sameness: Sameness, made: Points) -> dict[str, Any]:
    """The test's outcome on `made`: 1 / U with its interval, and how many pairs are the same."""
    partners = sameness.partners(made)
    value, low, high = simpson(partners)
    collisions = int(partners.sum()) // 2
    return {
        "value": value,
        "low": low,
        "high": high,
        "more_than": high is None,
        "collisions": collisions,
        "rate": sameness.rate,
    }


def asked_about(evidence: Evidence, made: Points, sameness: Sameness) -> tuple[Tensor, list[str]]:
    """The pairs of generated images that people are asked about, int64 [m, 2], and their names: those that are the
    same, or ASKED of them at random."""
    pairs = sameness.some(made, ASKED, seeded(evidence.seed, "asked"))
    return pairs, [pair_name(*evidence.made.pixels[pair]) for pair in pairs]


def answered(
    evidence: Evidence, sameness: Sameness, asked: Sequence[str]
) -> tuple[dict[str, int] | None, Tensor | None]:
    """How far people have answered, None where nobody has; and which pairs of `asked` they call the same, bool [m].

    They are heard once each pair has an answer, those of real images too: else the null would be held to more.
    """
    said = agreed(evidence.ratings)
    if not said:
        return None, None
    null = evidence.null()
    _, real = asked_about(null, Points(null.made.features, kinds(null)(null.made)), sameness)
    missing = {*asked, *real} - said.keys()
    if missing:
        return {"missing": len(missing)}, None
    same = torch.tensor([said[name] for name in asked], dtype=torch.bool)
    return {"shown": len(same), "confirmed": int(same.sum())}, same


def by_people(pairs: Tensor, same: Tensor, n: int, count: dict[str, Any]) -> tuple[float, float, float | None]:
    """(1 / U, low, high) of n images where only those `pairs` are the same that people call so.

    The share s of m pairs, drawn from the C that the radii call the same, stands for all of them, which adds
    (1 - s) / (s m) (C - m) / (C - 1) to the relative variance of U. With none confirmed: no less than the
    low end for all C over Wilson's upper end of 0 of m.
    """
    shown, confirmed, every = len(pairs), int(same.sum()), max(len(pairs), count["collisions"])
    partners = pairs[same].flatten().bincount(minlength=n)
    if confirmed == 0:
        bound = simpson(partners)[0]
        bound = bound if shown == every else min(bound, count["low"] / wilson(0, shown)[1])
        return bound, bound, None
    doubt = (shown - confirmed) / (confirmed * shown) * (every - shown) / max(1, every - 1)
    return simpson(partners, every / shown, doubt)


def simpson(partners: Tensor, scale: float = 1.0, doubt: float = 0.0) -> tuple[float, float, float | None]:
    """(1 / U, low, high) from how many others each of n draws equals, int64 [n].

    U = sum_i c_i / (n (n - 1)), W = sum_i c_i (c_i - 1) / (n (n - 1) (n - 2)) estimates sum p^3, and
    Var U = (4 (n - 2) (W - U^2) + 2 U (1 - U)) / (n (n - 1)); the interval is taken on log U. With no collision:
    n^2 / a^2 with exp(-a) (1 + a) = 0.05, below which n draws collide 19 times in 20 whatever p is, and no upper end.
    `scale`: how many pairs stand behind each that is counted; `doubt`: the relative variance of U that this adds.
    """
    c, n = partners.double(), len(partners)
    u = scale * float(c.sum()) / (n * (n - 1))
    if u == 0:
        return (n / NO_COLLISION) ** 2, (n / NO_COLLISION) ** 2, None
    w = scale**2 * float((c * (c - 1)).sum()) / (n * (n - 1) * (n - 2))
    variance = (4 * (n - 2) * max(0.0, w - u**2) + 2 * u * (1 - u)) / (n * (n - 1))
    factor = math.exp(Z * math.sqrt(variance / u**2 + doubt))
    return 1 / u, max(1.0, 1 / u / factor), 1 / u * factor


def batch_test(made: Points, sameness: Sameness) -> dict[str, Any]:
    """In how many of 50 disjoint batches two images were the same, and 1 / U with a t-interval over the batches."""
    batches = [made[part] for part in group_slices(len(made) // BATCHES * BATCHES, BATCHES)]
    size = len(batches[0])
    return {
        "size": size,
        **of_batches([int(sameness.partners(batch).sum()) / (size * (size - 1)) for batch in batches]),
    }


def of_batches(shares: Sequence[float]) -> dict[str, Any]:
    """What the shares of pairs that are the same, batch by batch, say of 1 / U; None where they do not bound it."""
    low, high = of_mean(shares)
    return {
        "number": len(shares),
        "with_collision": sum(share > 0 for share in shares),
        "value": 1 / fmean(shares) if any(shares) else None,
        "low": 1 / high if high > 0 else None,
        "high": 1 / low if low > 0 else None,
    }


def curve(evidence: Evidence) -> dict[str, Tensor]:
    """C(r) of generated, test and, where they are known, training images in the judge's features, over radii in units
    of the spread of test images, the root of twice their summed variances: the root mean square distance of two."""
    real = evidence.real.features
    n = min(len(real), PAIRED)
    spread = (2 * real.double().var(0).sum()).sqrt()
    sets = {"fake": evidence.made.features[:n], "test": real[:n]}
    if evidence.train.given:
        chosen = torch.randperm(len(evidence.train), generator=seeded(evidence.seed, "curve"))[:n]
        sets["train"] = evidence.train.features[chosen]
    return {"radius": RADII} | {name: near_pairs(x, RADII * spread) for name, x in sets.items()}
