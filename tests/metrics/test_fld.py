"""Fld: against independent code, closed forms and planted faults."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import (
    evidence,
    noisy,
    real,
    view,
)

from genlib.metrics.fld import IsotropicMixture, fld, fld_gap, grouped_nll

FLD = importlib.import_module("genlib.metrics.fld")


def some_mixture():
    g = torch.Generator().manual_seed(0)
    x, made = (torch.randn(n, 3, generator=g, dtype=torch.float64) for n in (200, 45))
    return IsotropicMixture.fit(made, x), made, x


def test_the_density_is_that_of_the_mixture_in_scipy():
    stats = pytest.importorskip("scipy.stats")
    mixture, made, x = some_mixture()
    laws = [
        stats.multivariate_normal(centre, v)
        for centre, v in zip(
            torch.cat([torch.zeros(1, 3), made]).numpy(), mixture.log_variance.double().exp(), strict=True
        )
    ]
    density = np.mean([law.pdf(x.numpy()) for law in laws], 0)
    grouped = grouped_nll(mixture, x)
    assert grouped[0] == pytest.approx(-np.log(density).mean() / 3, rel=1e-5)
    rows, left = np.delete(np.arange(200), np.r_[30:40]), np.delete(np.arange(46), np.r_[7:10])
    density = np.mean([laws[j].pdf(x.numpy()[rows]) for j in left], 0)
    assert grouped[1 + 3] == pytest.approx(-np.log(density).mean() / 3, rel=1e-5)


def test_the_variances_are_those_that_autograd_finds():
    mixture, made, x = some_mixture()
    centres, log_v = torch.cat([torch.zeros(1, 3), made]), torch.zeros(46, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([log_v], lr=0.5)
    for _ in range(50):
        adam.zero_grad()
        terms = -torch.cdist(x, centres).square() / (2 * log_v.exp()) - 1.5 * log_v
        (-terms.logsumexp(1).mean()).backward()
        adam.step()
    torch.testing.assert_close(mixture.log_variance.double(), log_v.detach(), rtol=1e-3, atol=1e-3)


def test_copies_open_a_gap_and_equal_laws_do_not():
    e = evidence(real(500, 4), train=1000)
    copied = replace(e, samples=e.train[torch.arange(500)])
    assert fld_gap(copied).high < -50 < -20 < fld_gap(e).value < 5
    assert abs(fld(e).value) < 5 < fld(copied).value
    assert fld(evidence(noisy(2.0), train=1000)).low > 20
    assert fld(e).low <= fld(e.with_real_samples()).value <= fld(e).high


def test_a_part_of_the_copies_opens_a_part_of_the_gap():
    e = evidence(real(500, 4), train=1000)
    mixed = [torch.cat([e.train.features[:k], e.generated.features[k:]]) for k in (0, 50, 200)]
    gaps = [fld_gap(replace(e, samples=view(features))).value for features in mixed]
    assert gaps[0] > gaps[1] > gaps[2]


def test_too_few_training_images_have_no_likelihood():
    e = evidence(real(100, 4))
    assert fld(replace(e, train=e.train[:39])).detail["reason"] == "needs at least 40 training images, found 39"


def test_large_sets_are_cut(monkeypatch):
    monkeypatch.setattr(FLD, "MAX_FIT_IMAGES", 120)
    monkeypatch.setattr(FLD, "MAX_CENTRES", 50)
    detail = fld(evidence(real(300, 4))).detail
    assert (detail["train"], detail["test"], detail["centres"]) == (120, 120, 50)
