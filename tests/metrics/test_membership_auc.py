"""Membership auc: against independent code, closed forms and planted faults."""

from dataclasses import replace

import pytest
import torch
from synthetic_features import blobs, seen

from genlib.data.images import to_float
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.membership_auc import membership_auc
from genlib.registry import build


def of_model(model, labels=True):
    parts = [blobs(n, seed) for seed, n in enumerate((60, 40, 50))]
    rows = [torch.arange(len(part)) % 3 if labels else None for part in parts]
    views = [seen(part, row) for part, row in zip(parts, rows, strict=True)]
    return MetricInputs(*views, samples=None, seed=0, model=model)


def given(logits_of):
    model = torch.nn.Module()
    model.discriminator, model.pack, model.conditional = logits_of, 1, False
    return model


class Knows(torch.nn.Module):
    """Gives 1 to the images of `known`, and 0 to others."""

    def __init__(self, known):
        super().__init__()
        self.known = torch.nn.Parameter(known.flatten(1))

    def forward(self, x):
        equal = x.flatten(1)[:, None] == self.known
        return equal.all(2).any(1, keepdim=True).float()


def test_a_discriminator_that_knows_its_training_images_gives_them_away():
    e = of_model(None)
    known = to_float(e.train.pixels)
    measure = membership_auc(replace(e, model=given(Knows(known))))
    assert (measure.value, measure.high, measure.n) == (1, 1, 90)
    half = membership_auc(replace(e, model=given(Knows(known[:30]))))
    assert half.value == pytest.approx(0.75) and half.low > 0.6
    assert membership_auc(replace(e, model=given(Knows(known + 9)))).value == 0.5
    assert measure.detail["train"] == {"images": 60, "mean": 1} and measure.detail["held_out"]["mean"] == 0


@pytest.mark.parametrize(
    "options",
    [
        {"name": "gan"},
        {"name": "gan", "pack": 2, "head": "softmax", "spectral_norm": True},
        {"name": "cgan", "condition": "projection"},
        {"name": "cgan", "condition": "concat", "head": "softmax"},
    ],
)
def test_the_area_is_that_of_scikit_learn_on_the_discriminators_own_logits(options, monkeypatch):
    metrics = pytest.importorskip("sklearn.metrics")
    torch.manual_seed(0)
    model = build("models", {"latent": 4, "width": 4, "width_d": 4, **options}, (1, 16, 16), 3).train()
    e = of_model(model)
    x = torch.cat([e.train.pixels, e.valid.pixels, e.test.pixels])
    y = torch.cat([e.train.labels, e.valid.labels, e.test.labels])
    measure = membership_auc(e)
    assert model.training and model.discriminator.training
    model.eval()
    told = (y,) if model.conditional else ()
    with torch.no_grad():
        logits = model.discriminator(torch.cat([to_float(x)] * model.pack, 1), *told)[:, 0]
    theirs = metrics.roc_auc_score(torch.arange(150) < 60, logits)
    assert measure.value == pytest.approx(theirs, abs=2e-3) and measure.low < theirs < measure.high
    monkeypatch.setattr("genlib.data.images.MAX_CHUNK", 7)
    assert membership_auc(e).value == pytest.approx(measure.value, abs=2e-3)


def test_who_cannot_be_asked_gets_the_reason():
    model = given(Knows(torch.zeros(1, 256)))
    model.conditional = True
    e = of_model(model, labels=False)
    assert membership_auc(e).detail["reason"] == "the discriminator needs the class, and there are no labels"
    assert membership_auc(replace(e, model=None)).detail["reason"] == "this model has no discriminator"
    alone = replace(of_model(given(Knows(torch.zeros(1, 256)))), train=e.train[:1])
    assert "needs at least 2 training and held-out images, found 1 and 90" in membership_auc(alone).detail["reason"]
