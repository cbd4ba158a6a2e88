"""The planted faults: they are what they say, and a metric that does not see them is struck."""

import json
from dataclasses import replace

import pytest
import torch

from genlib.data.images import Images
from genlib.evaluation.controls import JITTER, SIZE, UNLABELLED, WORDS, plant, stored, tried
from genlib.metrics.inputs import Evidence, View
from genlib.metrics.registry import Metric, evaluate
from genlib.metrics.result import Measure, Undefined, to_json

CLASSES = 4


def look(images):
    """A judge that tells brightness, whatever the labels."""
    features = images.pixels.flatten(1).float() / 255
    bright = (features.mean(1, keepdim=True) * torch.arange(1.0, CLASSES + 1)).softmax(1)
    return View(images.pixels, images.labels, features, bright)


def look_again(images):
    """Another judge: other features, other classes."""
    seen = look(images)
    return View(seen.pixels, seen.labels, -seen.features[:, :5], seen.probabilities.flip(1))


def images(n, seed, *, labelled=True):
    """No two are alike: 64 pixels of noise around grey, so that jitter is not clipped."""
    g = torch.Generator().manual_seed(seed)
    pixels = torch.randint(60, 190, (n, 1, 8, 8), generator=g, dtype=torch.uint8)
    return Images(pixels, torch.randint(CLASSES, (n,), generator=g) if labelled else None)


def evidence(n=300, seed=0, *, labelled=True, by=look):
    sets = (by(images(size, s, labelled=labelled)) for s, size in ((1, 500), (2, max(n, 40)), (3, n), (4, n)))
    return Evidence(*sets, seed)


def distinct(view):
    return len(view.pixels.flatten(1).unique(dim=0))


def rows_in(view, among):
    """For each image of `view` whether it is in `among`."""
    return (view.pixels.flatten(1)[:, None] == among.pixels.flatten(1)).all(2).any(1)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 19, 300, 1500])
def test_every_fault_is_planted_in_the_right_number(n, labelled):
    planted = plant(evidence(n, labelled=labelled), look).planted
    assert set(planted) == {"real", *WORDS}
    for view in planted.values():
        assert len(view) == min(n, SIZE) and view.pixels.dtype == torch.uint8
        assert (view.labels is not None) == labelled


def test_what_is_planted_is_what_it_says():
    e = evidence()
    planted = plant(e, look).planted
    assert torch.equal(planted["real"].pixels, e.valid.pixels[:300])
    assert rows_in(planted["copies"], e.train).all() and not rows_in(planted["copies"], e.valid).any()
    assert rows_in(planted["collapse"], e.valid).all() and distinct(planted["collapse"]) == CLASSES
    assert len(set(planted["collapse"].labels.tolist())) == CLASSES
    noise = planted["noise"].pixels.float()
    assert not rows_in(planted["noise"], e.valid).any() and noise.mean() == pytest.approx(127.5, abs=3)
    assert distinct(planted["noise"]) == 300


@pytest.mark.parametrize("n", [20, 300, 1000])
def test_stored_images_are_a_tenth_as_many_and_stay_within_their_jitter(n):
    e = evidence(n)
    view = plant(e, look).planted["stored"]
    shakes = view.pixels.flatten(1).float()[:, None] - e.valid.pixels[:n].flatten(1).float()
    of = shakes.square().mean(2).argmin(1)
    own = shakes[torch.arange(n), of]
    assert own.std() == pytest.approx(JITTER, rel=0.1) and own.abs().max() < 6 * JITTER
    assert 0.9 * stored(n) <= len(set(of.tolist())) <= stored(n)
    assert torch.equal(view.labels, e.valid.labels[of])
    assert distinct(view) == n


def test_the_number_of_stored_images_never_exceeds_what_there_is():
    assert [stored(n) for n in (1, 2, 10, 39, 100, 1000)] == [1, 2, 2, 3, 10, 100]


def test_the_same_seed_plants_the_same_and_another_another():
    one, again, other = (plant(evidence(seed=seed), look).planted for seed in (0, 0, 1))
    for name in ("copies", "stored", "collapse", "noise"):
        assert torch.equal(one[name].pixels, again[name].pixels)
        assert not torch.equal(one[name].pixels, other[name].pixels)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_second_judge_sees_the_same_images_in_the_same_order(labelled):
    first = plant(evidence(labelled=labelled), look).planted
    second = plant(evidence(labelled=labelled, by=look_again), look_again).planted
    for name, view in first.items():
        assert torch.equal(view.pixels, second[name].pixels)
        assert view.features.shape != second[name].features.shape


def test_without_labels_a_collapse_is_onto_ten_images():
    assert distinct(plant(evidence(labelled=False), look).planted["collapse"]) == UNLABELLED


def test_where_nothing_was_made_nothing_is_planted():
    empty = plant(replace(evidence(), fake=None), look)
    assert empty.planted == {} and tried(lambda e: Measure(1.0), empty, {"copies": "lower"}) == {}


def test_controls_stand_in_the_place_of_the_fakes_for_both_judges():
    e = plant(replace(evidence(), second=plant(evidence(by=look_again), look_again)), look)
    control = e.control("copies")
    assert torch.equal(control.made.pixels, e.planted["copies"].pixels) and control.model is None
    assert torch.equal(control.second.made.pixels, control.made.pixels)


# --- what is made of them


def variety(evidence):
    """The number of different images, known to one part in ten."""
    count = float(distinct(evidence.made))
    return Measure(count, 0.9 * count, 1.1 * count, n=evidence.n)


def nearness(evidence):
    """The share of images that are not in train."""
    share = 1 - float(rows_in(evidence.made, evidence.train).float().mean())
    return Measure(share, share - 0.01, share + 0.01, n=evidence.n)


def test_a_metric_that_sees_the_fault_passes():
    e = plant(evidence(), look)
    found = tried(nearness, e, {"copies": "lower"})["copies"]
    assert (found["value"], found["real"], found["failed"]) == (0, 1, None)
    assert tried(variety, e, {"collapse": "lower"})["collapse"]["failed"] is None
    assert tried(lambda e: Measure(-variety(e).value), e, {"collapse": "higher"})["collapse"]["failed"] is None


@pytest.mark.parametrize("must", ["lower", "higher"])
def test_a_constant_is_struck_whatever_it_must_see(must):
    e = plant(evidence(), look)
    for name, found in tried(lambda e: Measure(0.5, n=e.n), e, dict.fromkeys(WORDS, must)).items():
        assert found["failed"] == f"{WORDS[name]} get 0.5 and real images 0.5 at n = 300"


def test_the_wrong_way_and_intervals_that_overlap_are_struck():
    e = plant(evidence(), look)
    assert tried(nearness, e, {"copies": "higher"})["copies"]["failed"]
    wide = tried(lambda e: replace(nearness(e), low=-1, high=2), e, {"copies": "lower"})
    assert wide["copies"]["failed"]


@pytest.mark.parametrize(("counted", "seen"), [(30, True), (27, True), (100, False), (10, False)])
def test_a_count_must_be_the_number_of_stored_images(counted, seen):
    e = plant(evidence(), look)
    stands_for = {id(e.planted["stored"].pixels): float(counted)}
    found = tried(lambda e: Measure(stands_for.get(id(e.made.pixels), 1e6), n=e.n), e, {"stored": "count"})["stored"]
    assert (found["failed"] is None) == seen
    assert seen or found["failed"] == f"of 30 stored images with jitter it counts {counted}"


def test_a_metric_without_a_value_is_not_struck():
    def undefined(evidence):
        raise Undefined("no")

    metric = Metric(undefined, "fake", 1, "higher")
    assert tried(metric, plant(evidence(), look), {"copies": "lower"})["copies"]["failed"] is None


def test_what_failed_is_the_doubt_of_the_measure_and_goes_into_the_file(monkeypatch):
    catches = {"collapse": "lower", "noise": "higher"}
    found = {name: Metric(f, "fake", 1, "higher", catches) for name, f in (("kid", variety), ("support", nearness))}
    monkeypatch.setattr("genlib.metrics.registry.find", found.get)
    measures = evaluate(plant(evidence(), look), list(found))
    assert measures["kid"].doubt == "noise get 300 and real images 300 at n = 300"
    assert measures["support"].doubt == "one image per class get 1 and real images 1 at n = 300"
    assert "not to be believed: noise get" in str(measures["kid"])
    written = json.loads(json.dumps(to_json(measures, {}), allow_nan=False))
    assert written["metrics"]["kid"]["detail"]["controls"]["collapse"]["failed"] is None
