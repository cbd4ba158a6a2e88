"""Bits per dimension of every likelihood that is one of 8-bit pixels, by every metric that gives nats."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from likelihood_models import FAMILY, batch_of, terms

from genlib.data.images import Images, to_float
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.likelihood import PIXEL_VARIANCE_NOTE
from genlib.metrics.registry import get_metric
from genlib.models.layers.pixel_likelihood import BITS_OFFSET
from genlib.objectives import elbo
from genlib.objectives import iwae as iwae_bound

VALUES = 256  # of an image of the family
EVERY = pytest.mark.parametrize("name", FAMILY)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    ais, likelihood = (importlib.import_module(f"genlib.metrics.{name}") for name in ("ais", "likelihood"))
    monkeypatch.setattr(ais, "NUM_DISTRIBUTIONS", 2)
    monkeypatch.setattr(ais, "NUM_SIMULATED", 2)
    monkeypatch.setattr(ais, "IMPORTANCE_SAMPLES", 3)
    monkeypatch.setattr(likelihood, "MAX_EVALUATIONS", 60)


def inputs(model, n=4):
    g = torch.Generator().manual_seed(0)
    images = Images(torch.randint(0, 256, (n, 1, 16, 16), generator=g).to(torch.uint8), torch.arange(n) % 10)
    seen = FeatureSet(images.pixels, images.labels, to_float(images.pixels).flatten(1), torch.full((n, 10), 0.1))
    return MetricInputs(seen, seen, seen, None, 0, model)


@EVERY
def test_nats_and_bits_agree(name):
    model = FAMILY[name]().eval()
    kind = model.pixel_likelihood
    for metric, sign in (("nll", 1), ("elbo", -1), ("ais", -1)):
        found = get_metric(metric)(inputs(model))
        if found.value is None:
            assert (metric, kind) == ("nll", "gray_bce")
            continue
        seen = found.detail["observation"]
        assert seen == kind or (metric, kind, seen) == ("ais", "gray_bce", "spherical")
        assert ("bits_per_dim" in found.detail) == (seen in BITS_OFFSET)
        assert (found.detail.get("note") == PIXEL_VARIANCE_NOTE) == (model.has_pixel_variance and seen == "gaussian")
        if seen in BITS_OFFSET:
            bits = sign * found.value / VALUES / math.log(2) + BITS_OFFSET[seen]
            assert found.detail["bits_per_dim"] == pytest.approx(bits, rel=1e-6)


@EVERY
@pytest.mark.parametrize("objective", [elbo.Build(beta=3.0), iwae_bound.Build(k=2)])
def test_training_logs_the_bits_of_its_bound(name, objective):
    torch.manual_seed(0)
    model = FAMILY[name]()
    logged = terms(objective, model, batch_of()).logged
    assert ("bits_per_dim" in logged) == (model.pixel_likelihood in BITS_OFFSET)
    if "bits_per_dim" in logged:
        bound = logged["bound"] if "bound" in logged else -logged["reconstruction"] - logged["kl"]
        expected = (model.nll_offset - bound) / (VALUES * math.log(2)) + BITS_OFFSET[model.pixel_likelihood]
        torch.testing.assert_close(logged["bits_per_dim"], expected)


def test_an_untrained_model_costs_about_as_much_as_uniform_levels_or_more():
    """Noise has 8 bits a value: no likelihood of the 256 levels goes below."""
    for name in ("vae, discretized_logistic", "vae, gaussian", "vae, linear mean"):
        assert get_metric("nll")(inputs(FAMILY[name]().eval())).detail["bits_per_dim"] > 7.9
