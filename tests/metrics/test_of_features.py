"""genlib as a library: what it shows, what its examples say, what metrics of features give."""

import doctest
import importlib

import numpy as np
import pytest
import torch

import genlib
from genlib.data.random import seeded_generator
from genlib.errors import InputError
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet
from genlib.metrics.registry import get_metric

SETS = [torch.randn(200, 6, generator=seeded_generator(0, name)) for name in ("real", "fake", "train")]


def test_public_names_are_there_documented_and_no_others():
    assert dir(genlib) == sorted(genlib.__all__) and set(genlib.__all__) == set(genlib.PUBLIC_SUBMODULES)
    for name in genlib.__all__:
        assert getattr(genlib, name).__doc__ and name in genlib.__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = genlib.nothing


@pytest.mark.parametrize("module", ["genlib", "genlib.metrics", "genlib.evaluation.image_sets"])
def test_examples_say_what_happens(module):
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted and not tried.failed


def test_metrics_of_features_are_those_of_evidence():
    real, fake, train = (FeatureSet(torch.zeros(200, 1, 8, 8), None, each, torch.ones(200, 1)) for each in SETS)
    rows = torch.randperm(200, generator=seeded_generator(0, "rows"))
    evidence = MetricInputs(train, real, real[rows], fake[rows], 0, has_class_names=False)
    for name in ("frechet", "kid", "coverage", "authenticity", "copying", "vendi", "modes"):
        assert getattr(genlib.metrics, name)(*SETS) == get_metric(name)(evidence), name


def test_the_frechet_distance_of_shifted_features_is_the_square_of_the_shift():
    x = torch.randn(500, 5, generator=seeded_generator(0, "x"))
    found = genlib.metrics.frechet(x, x + torch.tensor([3.0, 4.0, 0, 0, 0]))
    assert found.value == pytest.approx(25, rel=1e-4) and found.n == 500


def test_arrays_are_taken_as_tensors_are_and_the_larger_set_is_cut():
    real, fake, _ = SETS
    assert genlib.metrics.kid(real.double().numpy(), fake.numpy()) == genlib.metrics.kid(real, fake)
    assert genlib.metrics.kid(real, fake[:80]).n == genlib.metrics.kid(fake[:80], real).n == 80


def test_every_metric_listed_gives_a_value_or_the_reason():
    assert {"frechet", "kid", "precision", "recall", "c2st", "vendi", "fld"} <= set(dir(genlib.metrics))
    without = {}
    for name in dir(genlib.metrics):
        function = getattr(genlib.metrics, name)
        assert function.__doc__ and function.__name__ == name
        if (found := function(*SETS)).value is None:
            without[name] = found.detail["reason"]
    assert without.keys() == {"copies", "inception_score", "residual_auc", "sharpness", "support"}
    assert all("pixels" in reason or "classes" in reason for reason in without.values())
    assert genlib.metrics.fld(*SETS[:2]).detail["reason"] == "no training images were given"


@pytest.mark.parametrize(
    ("real", "fake", "says"),
    [
        (torch.zeros(9), SETS[1], r"real: got the shape \[9\], expected features \[n, d\]"),
        (SETS[0], torch.zeros(9, 5), "fake: got 5 features, expected 6, as many as of real"),
        (SETS[0], torch.zeros(0, 6), r"fake: got the shape \[0, 6\]"),
        ("words", SETS[1], "real: got a str, expected an array or tensor"),
        (SETS[0], np.array([["a"]]), "fake: got a ndarray, expected an array or tensor"),
    ],
)
def test_what_is_no_table_of_features_is_named(real, fake, says):
    with pytest.raises(InputError, match=says):
        genlib.metrics.frechet(real, fake)


def test_features_that_are_not_finite_give_no_value():
    broken = SETS[1].clone()
    broken[0, 0] = torch.nan
    assert "not finite" in genlib.metrics.frechet(SETS[0], broken).detail["reason"]


def test_a_set_that_lacks_parts_can_be_cut_after_it_was_checked():
    known = {"labels": None, "features": torch.rand(6, 2), "probabilities": torch.rand(6, 2)}
    some = MissingSet("no pixels", **known)
    assert some.num_not_finite == 0 and some[2:4].features.equal(known["features"][2:4]) and len(some[:0]) == 0
