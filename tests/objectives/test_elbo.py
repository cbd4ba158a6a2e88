"""The ELBO against closed forms, and its warm-up."""

from __future__ import annotations

import math

import torch
from likelihood_models import SHAPE, Linear, Points, batch_of, evidence, images, made, normal, points, terms
from torch.distributions import kl_divergence

from genlib.data.batches import batches
from genlib.objectives import elbo


def test_the_elbo_is_the_evidence_less_the_divergence():
    model, x, k = Linear(exact=False), points(1).expand(20_000, *SHAPE), 20_000
    found = terms(elbo.Build(), model, Points(x))
    lost = kl_divergence(normal(model.encode(x[:1])), normal(Linear().encode(x[:1]))).item()
    bound = -found.loss.detach()
    assert abs(bound.mean() - evidence(model, x[:1]) + lost) < 5 * bound.std() / math.sqrt(k)
    torch.testing.assert_close(found.logged["kl"], model.encode(x).kl().detach())
    torch.testing.assert_close(found.loss, found.logged["reconstruction"] + found.logged["kl"])


def test_the_elbo_weighs_its_parts_and_warms_up():
    model = made()
    for step, weight in [(0, 0.0), (1, 1.5), (2, 3.0), (5, 3.0)]:
        found = terms(elbo.Build(beta=3.0, warm_up=24), model, batch_of(step=step))
        torch.testing.assert_close(found.loss, found.logged["reconstruction"] + weight * found.logged["kl"])


def test_images_are_binarised_anew_at_every_step_and_alike_in_the_same():
    model, data = made(), images(n=12)
    first, again, later = (
        terms(elbo.Build(), model, next(batches(data, 12, seed=0, step=step))).logged["reconstruction"].sort().values
        for step in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, later)
