"""The planted faults: they are what they say, and a metric that does not see them is struck."""

import json
from dataclasses import replace

import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from genlib.data.images import Images
from genlib.evaluation.controls import (
    BLUR_RADIUS,
    BLUR_STD,
    CONTROL_LABELS,
    JITTER_STD,
    MAX_CONTROL_IMAGES,
    UNLABELLED_COLLAPSE_IMAGES,
    add_controls,
    blur_pixels,
    num_memorized,
    run_controls,
)
from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import get_metric, metric, metric_names, question_of
from genlib.metrics.result import MetricResult, UndefinedMetric

CLASSES = 4


def look(images):
    """A judge that tells brightness, whatever the labels."""
    features = images.pixels.flatten(1).float() / 255
    bright = (features.mean(1, keepdim=True) * torch.arange(1.0, CLASSES + 1)).softmax(1)
    return FeatureSet(images.pixels, images.labels, features, bright)


def look_again(images):
    """Another judge: other features, other classes."""
    seen = look(images)
    return FeatureSet(seen.pixels, seen.labels, -seen.features[:, :5], seen.probabilities.flip(1))


def images(n, seed, *, labelled=True):
    """No two are alike: 64 pixels of noise around grey, so that jitter is not clipped."""
    g = torch.Generator().manual_seed(seed)
    pixels = torch.randint(60, 190, (n, 1, 8, 8), generator=g, dtype=torch.uint8)
    return Images(pixels, torch.randint(CLASSES, (n,), generator=g) if labelled else None)


def evidence(n=300, seed=0, *, labelled=True, by=look):
    sets = (by(images(size, s, labelled=labelled)) for s, size in ((1, 500), (2, max(n, 40)), (3, n), (4, n)))
    return MetricInputs(*sets, seed)


def distinct(view):
    return len(view.pixels.flatten(1).unique(dim=0))


def rows_in(view, among):
    """For each image of `view` whether it is in `among`."""
    return (view.pixels.flatten(1)[:, None] == among.pixels.flatten(1)).all(2).any(1)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 19, 300, 1500])
def test_every_fault_is_planted_in_the_right_number(n, labelled):
    planted = add_controls(evidence(n, labelled=labelled), look).controls
    assert set(planted) == {"real", *CONTROL_LABELS}
    for view in planted.values():
        assert len(view) == min(n, MAX_CONTROL_IMAGES) and view.pixels.dtype == torch.uint8
        assert (view.labels is not None) == labelled


def test_what_is_planted_is_what_it_says():
    e = evidence()
    planted = add_controls(e, look).controls
    assert torch.equal(planted["real"].pixels, e.valid.pixels[:300])
    assert rows_in(planted["copies"], e.train).all() and not rows_in(planted["copies"], e.valid).any()
    assert rows_in(planted["collapse"], e.valid).all() and distinct(planted["collapse"]) == CLASSES
    assert len(set(planted["collapse"].labels.tolist())) == CLASSES
    noise = planted["noise"].pixels.float()
    assert not rows_in(planted["noise"], e.valid).any() and noise.mean() == pytest.approx(127.5, abs=3)
    assert distinct(planted["noise"]) == 300


@pytest.mark.parametrize("channels", [1, 3])
def test_blurred_images_are_those_of_torchvision(channels):
    x = torch.randint(256, (5, channels, 9, 11), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    padded = torch.nn.functional.pad(x.double(), [BLUR_RADIUS] * 4, mode="replicate")
    theirs = gaussian_blur(padded, [2 * BLUR_RADIUS + 1] * 2, [BLUR_STD] * 2)
    theirs = theirs[:, :, BLUR_RADIUS:-BLUR_RADIUS, BLUR_RADIUS:-BLUR_RADIUS]
    assert (blur_pixels(x) - theirs).abs().max() <= 0.5 + 1e-4


def test_blurred_images_are_the_real_ones_blurred():
    e = evidence()
    planted = add_controls(e, look).controls
    assert torch.equal(planted["blurred"].pixels, blur_pixels(e.valid.pixels[:300]))
    assert torch.equal(planted["blurred"].labels, planted["real"].labels)


@pytest.mark.parametrize("name", [name for name in metric_names() if question_of(name) == "Realistic?"])
def test_every_metric_of_realism_must_see_blur(name):
    needs_images = get_metric(name).needs == "samples"
    assert ("blurred" in get_metric(name).must_detect) == needs_images


@pytest.mark.parametrize("n", [20, 300, 1000])
def test_stored_images_are_a_tenth_as_many_and_stay_within_their_jitter(n):
    e = evidence(n)
    view = add_controls(e, look).controls["stored"]
    shakes = view.pixels.flatten(1).float()[:, None] - e.valid.pixels[:n].flatten(1).float()
    of = shakes.square().mean(2).argmin(1)
    own = shakes[torch.arange(n), of]
    assert own.std() == pytest.approx(JITTER_STD, rel=0.1) and own.abs().max() < 6 * JITTER_STD
    assert 0.9 * num_memorized(n) <= len(set(of.tolist())) <= num_memorized(n)
    assert torch.equal(view.labels, e.valid.labels[of])
    assert distinct(view) == n


def test_the_number_of_stored_images_never_exceeds_what_there_is():
    assert [num_memorized(n) for n in (1, 2, 10, 39, 100, 1000)] == [1, 2, 2, 3, 10, 100]


def test_the_same_seed_plants_the_same_and_another_another():
    one, again, other = (add_controls(evidence(seed=seed), look).controls for seed in (0, 0, 1))
    for name in ("copies", "stored", "collapse", "noise"):
        assert torch.equal(one[name].pixels, again[name].pixels)
        assert not torch.equal(one[name].pixels, other[name].pixels)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_second_judge_sees_the_same_images_in_the_same_order(labelled):
    first = add_controls(evidence(labelled=labelled), look).controls
    second = add_controls(evidence(labelled=labelled, by=look_again), look_again).controls
    for name, view in first.items():
        assert torch.equal(view.pixels, second[name].pixels)
        assert view.features.shape != second[name].features.shape


def test_without_labels_a_collapse_is_onto_ten_images():
    assert distinct(add_controls(evidence(labelled=False), look).controls["collapse"]) == UNLABELLED_COLLAPSE_IMAGES


def test_where_nothing_was_made_nothing_is_planted():
    empty = add_controls(replace(evidence(), samples=None), look)
    assert empty.controls == {} and run_controls(lambda e: MetricResult(1.0), empty, {"copies": "lower"}) == {}


def test_controls_stand_in_the_place_of_the_fakes_for_both_judges():
    e = add_controls(replace(evidence(), second_inputs=add_controls(evidence(by=look_again), look_again)), look)
    control = e.with_control_samples("copies")
    assert torch.equal(control.generated.pixels, e.controls["copies"].pixels) and control.model is None
    assert torch.equal(control.second_inputs.generated.pixels, control.generated.pixels)


# --- what is made of them


def variety(evidence):
    """The number of different images, known to one part in ten."""
    count = float(distinct(evidence.generated))
    return MetricResult(count, 0.9 * count, 1.1 * count, n=evidence.n)


def nearness(evidence):
    """The share of images that are not in train."""
    share = 1 - float(rows_in(evidence.generated, evidence.train).float().mean())
    return MetricResult(share, share - 0.01, share + 0.01, n=evidence.n)


def test_a_metric_that_sees_the_fault_passes():
    e = add_controls(evidence(), look)
    found = run_controls(nearness, e, {"copies": "lower"})["copies"]
    assert (found["value"], found["real"], found["failed"]) == (0, 1, None)
    assert run_controls(variety, e, {"collapse": "lower"})["collapse"]["failed"] is None
    assert (
        run_controls(lambda e: MetricResult(-variety(e).value), e, {"collapse": "higher"})["collapse"]["failed"] is None
    )


@pytest.mark.parametrize("must", ["lower", "higher"])
def test_a_constant_is_struck_whatever_it_must_see(must):
    e = add_controls(evidence(), look)
    for name, found in run_controls(lambda e: MetricResult(0.5, n=e.n), e, dict.fromkeys(CONTROL_LABELS, must)).items():
        assert found["failed"] == f"{CONTROL_LABELS[name]} get 0.5 and real images 0.5 at n = 300"


def test_the_wrong_way_and_intervals_that_overlap_are_struck():
    e = add_controls(evidence(), look)
    assert run_controls(nearness, e, {"copies": "higher"})["copies"]["failed"]
    wide = run_controls(lambda e: replace(nearness(e), low=-1, high=2), e, {"copies": "lower"})
    assert wide["copies"]["failed"]


@pytest.mark.parametrize(("must", "sign"), [("lower", -1), ("higher", 1)])
def test_a_fault_far_beyond_real_images_is_seen_however_wide_its_interval(must, sign):
    """As the likelihood of copies, of which one test image decides both the mean and its error."""
    e = add_controls(evidence(), look)

    def heavy_tailed(size):
        def value(evidence):
            copied = 1 - nearness(evidence).value
            return MetricResult(sign * size * copied, -1 - 2 * size * copied, 1 + 2 * size * copied, n=evidence.n)

        return run_controls(value, e, {"copies": must})["copies"]["failed"]

    assert heavy_tailed(1e16) is None and heavy_tailed(25) is None and heavy_tailed(10)


@pytest.mark.parametrize(("must", "sign"), [("not lower", 1), ("not higher", -1)])
def test_a_metric_that_takes_another_fault_for_its_own_is_struck(must, sign):
    e = add_controls(evidence(), look)

    def collapse_is_worse(evidence):
        value = sign * variety(evidence).value
        return MetricResult(value, value - 0.1, value + 0.1, n=evidence.n)

    found = run_controls(collapse_is_worse, e, {"collapse": must, "blurred": must})
    assert found["collapse"]["failed"].endswith(f"real images {300 * sign} at n = 300, as copies would")
    assert found["blurred"]["failed"] is None and found["blurred"]["must"] == must
    better = run_controls(lambda e: replace(collapse_is_worse(e), value=0, low=0, high=0), e, {"collapse": must})
    assert better["collapse"]["failed"] is None


@pytest.mark.parametrize("name", ["copies", "authenticity", "copying"])
def test_collapse_and_blur_are_controls_of_what_looks_for_copies(name):
    worse = "not higher" if name == "copies" else "not lower"
    shifts = get_metric(name).must_detect
    assert (shifts["collapse"], shifts["blurred"]) == (worse, worse)


@pytest.mark.parametrize(("counted", "seen"), [(30, True), (27, True), (100, False), (10, False)])
def test_a_count_must_be_the_number_of_stored_images(counted, seen):
    e = add_controls(evidence(), look)
    stands_for = {id(e.controls["stored"].pixels): float(counted)}
    found = run_controls(
        lambda e: MetricResult(stands_for.get(id(e.generated.pixels), 1e6), n=e.n), e, {"stored": "count"}
    )["stored"]
    assert (found["failed"] is None) == seen
    assert seen or found["failed"] == f"of 30 stored images with jitter it counts {counted}"


def test_a_metric_without_a_value_is_not_struck():
    def undefined(evidence):
        raise UndefinedMetric("no")

    found = metric()(undefined)
    assert run_controls(found, add_controls(evidence(), look), {"copies": "lower"})["copies"]["failed"] is None


def test_what_failed_is_the_doubt_of_the_measure_and_goes_into_the_file(monkeypatch):
    catches = {"collapse": "lower", "noise": "higher"}
    found = {name: metric(must_detect=catches)(f) for name, f in (("kid", variety), ("support", nearness))}
    monkeypatch.setattr("genlib.evaluation.runner.get_metric", found.get)
    measures = compute_metrics(add_controls(evidence(), look), list(found))
    assert measures["kid"].failed_control == "noise get 300 and real images 300 at n = 300"
    assert measures["support"].failed_control == "one image per class get 1 and real images 1 at n = 300"
    assert "not to be believed: noise get" in str(measures["kid"])
    written = json.loads(json.dumps(report_to_json(measures, (), {}), allow_nan=False))
    assert written["metrics"]["kid"]["detail"]["controls"]["collapse"]["failed"] is None
