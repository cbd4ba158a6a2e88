"""Every metric of images, on evidence that nobody hopes for: a number or the reason, never NaN, never an exception."""

import json
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch

from genlib.evaluation.calibration import calibrate
from genlib.evaluation.controls import add_controls
from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet
from genlib.metrics.registry import IMAGE_NEEDS, get_metric, metric_names

CLASSES, SIDE = 4, 8
OF_PICTURES = [name for name in metric_names() if get_metric(name).needs in IMAGE_NEEDS]
WEIGHTS = torch.randn(SIDE * SIDE, 6, generator=torch.Generator().manual_seed(1)) / SIDE


def look(pixels, labels=None):
    """Six projections of the pixels; the class is the brightest quarter."""
    x = pixels.float() / 255
    quarters = torch.nn.functional.avg_pool2d(x, SIDE // 2).flatten(1)
    return FeatureSet(pixels, labels, x.flatten(1) @ WEIGHTS, (12 * quarters).softmax(1))


def see(images):
    return look(images.pixels, images.labels)


def pictures(n, seed):
    """Smooth blots, each in a corner, and what it is of."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n)[torch.randperm(n, generator=g)] % CLASSES
    x = 60 * torch.rand(n, 1, SIDE, SIDE, generator=g)
    half = SIDE // 2
    for c in range(CLASSES):
        top, left = half * (c // 2), half * (c % 2)
        x[labels == c, :, top : top + half, left : left + half] += 100 + 80 * torch.rand(1, generator=g)
    return look(x.to(torch.uint8), labels)


def evidence(n=60, train=150):
    held = max(n, 60)
    return MetricInputs(pictures(train, 1), pictures(held, 2), pictures(held, 3), pictures(n, 4), seed=0)


def of_all(change, e):
    """The same done to every set."""
    return replace(e, train=change(e.train), valid=change(e.valid), test=change(e.test), samples=change(e.generated))


def with_features(change):
    return lambda view: replace(view, features=change(view.features))


def with_probabilities(change):
    return lambda view: replace(view, probabilities=change(view.probabilities))


def spoilt(view, value):
    features = view.features.clone()
    features[0, 0] = value
    return replace(view, features=features)


def rows(view, *chosen):
    return view[torch.tensor(chosen)[torch.arange(len(view)) % len(chosen)]]


def flat(grey):
    return lambda view: look(torch.full_like(view.pixels, grey), view.labels)


def unlabelled(view):
    return replace(view, labels=None)


def without_class(view, c=0):
    """As many, with others again in the place of those of class c."""
    return rows(view, *(view.predicted_classes != c).nonzero().squeeze(1).tolist())


def certain(p):
    return torch.nn.functional.one_hot(p.argmax(1), p.shape[1]).float()


HOSTILE = {
    **{f"{n} images": (lambda e, n=n: evidence(n)) for n in (1, 2, 5, 19, 39, 100)},
    "as few held out": lambda e: (lambda s: replace(s, valid=s.valid[:5], test=s.test[:5]))(evidence(5)),
    "one training image": lambda e: replace(e, train=e.train[:1]),
    "two training images": lambda e: replace(e, train=e.train[:2]),
    "black fakes": lambda e: replace(e, samples=flat(0)(e.generated)),
    "grey everything": lambda e: of_all(flat(128), e),
    "a NaN among the fakes": lambda e: replace(e, samples=spoilt(e.generated, torch.nan)),
    "an infinity in train": lambda e: replace(e, train=spoilt(e.train, torch.inf)),
    "a NaN in valid": lambda e: replace(e, valid=spoilt(e.valid, torch.nan)),
    "a NaN in test": lambda e: replace(e, test=spoilt(e.test, torch.nan)),
    "NaN probabilities": lambda e: replace(e, samples=with_probabilities(lambda p: p * torch.nan)(e.generated)),
    "no class 0 in the fakes": lambda e: replace(e, samples=without_class(e.generated)),
    "no class 0 in train": lambda e: replace(e, train=without_class(e.train)),
    "no class 0 in test": lambda e: replace(e, test=without_class(e.test)),
    "one class only": lambda e: replace(e, samples=rows(e.generated[e.generated.predicted_classes == 1], *range(9))),
    "all fakes equal": lambda e: replace(e, samples=rows(e.generated, 0)),
    "two different fakes": lambda e: replace(e, samples=rows(e.generated, 0, 1)),
    "fakes are train": lambda e: replace(e, samples=e.train[: e.n]),
    "fakes are train, all of it": lambda e: replace(evidence(60, 60), samples=evidence(60, 60).train),
    "fakes are test": lambda e: replace(e, samples=e.test[: e.n]),
    "train twice": lambda e: replace(e, train=rows(e.train, *range(75))),
    "train all equal": lambda e: replace(e, train=rows(e.train, 0)),
    "test all equal": lambda e: replace(e, test=rows(e.test, 0)),
    "no labels": lambda e: replace(of_all(unlabelled, e), has_class_names=False),
    "labels of nothing": lambda e: of_all(unlabelled, e),
    "certain judge": lambda e: of_all(with_probabilities(certain), e),
    "undecided judge": lambda e: of_all(with_probabilities(lambda p: torch.full_like(p, 1 / CLASSES)), e),
    "a judge of one class": lambda e: of_all(with_probabilities(lambda p: torch.ones(len(p), 1)), e),
    "one feature": lambda e: of_all(with_features(lambda x: x[:, :1]), e),
    "more features than images": lambda e: of_all(with_features(lambda x: x.repeat(1, 40)), e),
    "constant features": lambda e: of_all(with_features(torch.zeros_like), e),
    "huge features": lambda e: replace(e, samples=with_features(lambda x: x * 1e30)(e.generated)),
    "tiny features": lambda e: of_all(with_features(lambda x: x * 1e-30), e),
    "far features": lambda e: of_all(with_features(lambda x: x + 1e6), e),
}
PLANTED = {case for case in HOSTILE if case[0].isdigit()} | {"no labels", "grey everything", "one training image"}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_evidence_gives_numbers_or_reasons(case):
    hostile = HOSTILE[case](evidence())
    if case in PLANTED:
        hostile = add_controls(replace(hostile, second_inputs=add_controls(hostile, see)), see)
    measures = compute_metrics(hostile, OF_PICTURES)
    written = json.loads(json.dumps(report_to_json(measures, (), {}), allow_nan=False))["metrics"]
    for name, found in written.items():
        if found["value"] is None:
            assert found["detail"].get("reason"), name
        if found["null"] is None:
            assert found["detail"]["null"].get("reason"), name
        ends = [end for end in (found["low"], found["value"], found["high"]) if end is not None]
        assert found["value"] is None or ends == sorted(ends), name


def two_judges():
    return replace(evidence(200, 300), second_inputs=evidence(200, 300))


usual = cache(two_judges)


@pytest.mark.parametrize("name", OF_PICTURES)
def test_the_order_of_the_fakes_does_not_matter(name):
    e = usual()
    order = torch.randperm(e.n, generator=torch.Generator().manual_seed(0))
    turned = replace(
        e, samples=e.generated[order], second_inputs=replace(e.second_inputs, samples=e.second_inputs.generated[order])
    )
    found, again = get_metric(name)(e), get_metric(name)(turned)
    assert found.value is not None or found.detail["reason"]
    size = max(abs(found.value or 0), spread(found))  # a difference may be near 0, and rounded as what it is one of
    slack = 3 * spread(found) if name in RESAMPLED else 1e-6 * size + 1e-9
    assert again.value == pytest.approx(found.value, abs=slack)


RESAMPLED = {"inception_score"}  # their value is a mean over splits of the images as they stand


def spread(measure):
    return 0 if measure.high is None else measure.high - measure.low


@pytest.mark.parametrize("name", OF_PICTURES)
def test_chunks_do_not_matter(name, monkeypatch):
    found = get_metric(name)(usual())
    chunked = [module for title, module in sys.modules.items() if title.startswith("genlib.metrics.")]
    for module in chunked:
        for constant in {"CHUNK_ELEMENTS", "FLOAT64_ELEMENTS"} & set(vars(module)):
            monkeypatch.setattr(module, constant, 5000)
    anew = two_judges()  # other tensors, so that nothing kept from before is found again
    assert get_metric(name)(anew).value == pytest.approx(found.value, rel=1e-6, abs=1e-8)


def two_by_two(view):
    """The middle of each image, whose pixels are the features too."""
    half = view.pixels.shape[2] // 2
    pixels = view.pixels[:, :, half - 1 : half + 1, half - 1 : half + 1].contiguous()
    return FeatureSet(pixels, view.labels, pixels.float().flatten(1), pixels.float().flatten(1).softmax(1))


CALIBRATED = HOSTILE | {
    "no training images": lambda e: replace(e, train=MissingSet("no training images were given")),
    "images of 2 x 2 pixels": lambda e: of_all(two_by_two, e),
}
EXTRACTORS = {  # of the faults that are planted, where it is not `look`
    "a judge of one class": with_probabilities(lambda p: torch.ones(len(p), 1)),
    "one feature": with_features(lambda x: x[:, :1]),
    "more features than images": with_features(lambda x: x.repeat(1, 40)),
}


def extract_for(case):
    if case == "images of 2 x 2 pixels":
        return lambda images: two_by_two(FeatureSet(images.pixels, images.labels, None, None))
    return lambda images: EXTRACTORS.get(case, lambda view: view)(see(images))


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("case", CALIBRATED)
def test_hostile_evidence_has_baselines_or_none(case):
    """Draws of real images in the place of both sides, and faults planted in them, raise nothing; what is undefined in
    most draws has no baseline, and p-values are in [0, 1] or, of a fault that cannot be planted, NaN."""
    found = calibrate(CALIBRATED[case](evidence()), extract_for(case), OF_PICTURES)
    assert all(each.values.isfinite().all() and each.contrasts.isfinite().all() for each in found.baselines.values())
    for by_metric in found.planted.values():
        assert by_metric
        for p in by_metric.values():
            assert ((p >= 0) & (p <= 1) | p.isnan()).all()
