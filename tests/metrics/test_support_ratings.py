"""People confirm which pairs are the same picture: what they are asked, what counts, and what it does to `support`."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from surveys import say
from synthetic_features import evidence, real, view

from genlib.data.random import seeded_generator
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.stats import birthday as collisions
from genlib.metrics.stats.birthday import DuplicateThresholds, PointSet, num_pairs
from genlib.metrics.support import MAX_RATED_PAIRS, simpson_estimate, support, support_from_ratings


@pytest.mark.parametrize("elements", [1 << 22, 700])
def test_pairs_to_ask_about_are_drawn_evenly_from_all_that_are_the_same(elements, monkeypatch):
    monkeypatch.setattr(collisions, "CHUNK_ELEMENTS", elements)
    x, kind = torch.randn(60, 2, generator=seeded_generator("some")), torch.arange(60) % 2
    sameness = DuplicateThresholds({0: 0.4, 1: 0.6}, 0.0)
    points = PointSet(x, kind)
    distances = torch.cdist(x.double(), x.double())
    every = {
        (i, j) for i, j in combinations(range(60), 2)
        if kind[i] == kind[j] and distances[i, j] <= sameness.radius_of(int(kind[i]))
    }  # fmt: skip
    assert len(every) > 60
    assert {tuple(pair) for pair in sameness.sample_duplicates(points, 10_000, seeded_generator(0)).tolist()} == every
    drawn = [sameness.sample_duplicates(points, 20, seeded_generator("draw", i)) for i in range(600)]
    times = dict.fromkeys(every, 0)
    for pairs in drawn:
        assert len({tuple(pair) for pair in pairs.tolist()}) == 20
        for pair in pairs.tolist():
            times[tuple(pair)] += 1
    p = 20 / len(every)
    spread = (np.array(list(times.values())) - 600 * p) / np.sqrt(600 * p * (1 - p))
    assert np.abs(spread).max() < 4.5 and 0.6 < spread.std() < 1.4


# --- what their answers do to the estimate


def heard(e, same):
    """The evidence once people have answered about each pair; of generated ones `same` says which rows are the same, of
    real ones none is."""
    made, real = (support(each).detail["asked"] for each in (e, e.with_real_samples()))
    said = dict.fromkeys(real, "different") | {n: "same" if same(*pair) else "different" for n, pair in made.items()}
    return replace(e, ratings=tuple(say("a", name, answer) for name, answer in said.items()))


def pictured(e):
    """The evidence with a picture of its own for each image."""

    def own(part, seed):
        return replace(
            part, pixels=torch.randint(256, (len(part), 1, 4, 4), generator=seeded_generator(seed), dtype=torch.uint8)
        )

    return replace(e, samples=own(e.generated, "fake"), valid=own(e.valid, "valid"))


@pytest.fixture(scope="module")
def few():
    """300 images of which three are one picture, and the chance pairs of real images."""
    fake = real(300, 4)
    features, classes = fake.features.clone(), fake.predicted_classes.clone()
    features[:3], classes[:3] = features[0], classes[0]
    return pictured(evidence(view(features, classes)))


def test_only_what_people_confirm_is_counted(few):
    before = support(few)
    assert 3 < before.detail["collisions"] <= MAX_RATED_PAIRS and before.detail["people"] is None
    kept = support(heard(few, lambda a, b: a < 3 and b < 3))
    assert kept.detail["people"] == {"shown": before.detail["collisions"], "confirmed": 3}
    assert kept.value == pytest.approx(num_pairs(300) / 3) and kept.value > before.value
    partners = torch.zeros(300, dtype=torch.long)
    partners[:3] = 2
    radii = before.detail["embeddings"]["features"]["radii_variance"]
    assert (kept.value, kept.low, kept.high) == simpson_estimate(partners, extra_variance=radii)
    assert kept.detail["embeddings"]["features"]["value"] == before.value


def test_pairs_that_all_are_confirmed_change_nothing(few):
    before, after = support(few), support(heard(few, lambda a, b: True))
    assert (before.value, before.low, before.high) == (after.value, after.low, after.high)


def test_pairs_that_nobody_confirms_are_no_collisions(few):
    found = support(heard(few, lambda a, b: False))
    assert found.value == found.low == simpson_estimate(torch.zeros(300, dtype=torch.long))[0]
    assert found.high is None and found.detail["more_than"]


def test_people_judge_real_pairs_by_the_same_eye(few):
    found = compute_metrics(heard(few, lambda a, b: a < 3 and b < 3), ["support"])["support"]
    assert found.detail["null"]["people"]["confirmed"] == 0 and found.detail["null"]["more_than"]
    assert found.failed_control is None


def test_people_are_heard_once_every_pair_has_an_answer(few):
    whole = heard(few, lambda a, b: False)
    for gap in (0, -1):
        ratings = [answer for i, answer in enumerate(whole.ratings) if i != gap % len(whole.ratings)]
        found = support(replace(whole, ratings=tuple(ratings)))
        assert found.detail["people"] == {"missing": 1} and found.value == support(few).value
    other = replace(whole, ratings=(say("a", "0-1", "same"),))
    assert support(other).detail["people"] == {"missing": len(whole.ratings)}


@pytest.mark.parametrize("law", ["uniform", "spike"])
def test_the_interval_holds_the_truth_where_only_some_pairs_were_shown(law):
    """Images of K pictures, and as many pairs again that the radii call the same and people do not."""
    rng, generator = np.random.default_rng(5), seeded_generator("shown", law)
    p = {"uniform": np.ones(400), "spike": np.r_[40, np.ones(400)]}[law]
    p = p / p.sum()
    truth, n, covered, shown = 1 / (p**2).sum(), 400, 0, []
    for _ in range(300):
        x = torch.from_numpy(rng.choice(len(p), n, p=p))
        same = (x[:, None] == x[None]).triu(1)
        chance = (torch.rand(n, n, generator=generator) < 1 / truth).triu(1) & ~same
        every = (same | chance).nonzero()
        pairs = every[torch.randperm(len(every), generator=generator)[:MAX_RATED_PAIRS]]
        partners = (same | chance).sum(0) + (same | chance).sum(1)
        value, low, high = simpson_estimate(partners)
        count = {"value": value, "low": low, "high": high, "collisions": len(every)}
        _, low, high = support_from_ratings(pairs, x[pairs[:, 0]] == x[pairs[:, 1]], n, count)
        covered += low <= truth <= (high or np.inf)
        shown.append(len(every))
    assert min(shown) > 2 * MAX_RATED_PAIRS
    assert 0.9 <= covered / 300 <= 0.995


def test_none_confirmed_of_some_is_a_bound_that_the_rest_might_reach():
    """With s of C confirmed by chance alone, none of m is likely only for a small s."""
    pairs, count = (
        torch.tensor([[2 * i, 2 * i + 1] for i in range(MAX_RATED_PAIRS)]),
        {"low": 500.0, "collisions": 5000},
    )
    value, low, high = support_from_ratings(pairs, torch.zeros(MAX_RATED_PAIRS, dtype=torch.bool), 1000, count)
    assert value == low == pytest.approx(500 * (MAX_RATED_PAIRS + 1.96**2) / 1.96**2, rel=1e-3) and high is None
