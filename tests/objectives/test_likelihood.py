"""Every likelihood model under every bound: gradients, ranks, refused options."""

from __future__ import annotations

import pytest
import torch
from likelihood_models import FAMILY, OBJECTIVES, batch_of, terms

from genlib.objectives import elbo
from genlib.objectives import iwae as iwae_bound

PAIRS = [(m, o) for m in FAMILY for o in OBJECTIVES if (m, o) != ("iwae, two layers", "dreg")]
EVERY_PAIR = pytest.mark.parametrize(("name", "objective"), PAIRS)


def gradients_of(model, objective, batch):
    model.zero_grad()
    found = terms(OBJECTIVES[objective](), model, batch)
    (found.loss.sum() / batch.global_size).backward()
    assert found.loss.shape == (len(batch.x),)
    assert all(values.shape == found.loss.shape and not values.requires_grad for values in found.logged.values())
    return {key: parameter.grad.clone() for key, parameter in model.named_parameters()}


@EVERY_PAIR
def test_gradients_reach_every_parameter(name, objective):
    torch.manual_seed(0)
    for key, gradient in gradients_of(FAMILY[name](), objective, batch_of()).items():
        assert gradient.isfinite().all(), key
        assert gradient.count_nonzero() > 0, key


@EVERY_PAIR
def test_two_ranks_equal_one(name, objective):
    torch.manual_seed(0)
    model = FAMILY[name]()
    whole = gradients_of(model, objective, batch_of(13, 2))
    parts = [gradients_of(model, objective, batch_of(13, 2, rank, 2)) for rank in range(2)]
    scale = max(gradient.abs().max().item() for gradient in whole.values())
    for key, gradient in whole.items():
        torch.testing.assert_close(parts[0][key] + parts[1][key], gradient, rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("build", "option", "value"),
    [(iwae_bound.Build, "k", 0), (elbo.Build, "beta", -0.5), (elbo.Build, "warm_up", -1)],
)
def test_an_objective_refuses_what_is_out_of_range(build, option, value):
    with pytest.raises(ValueError, match=f"^{option}: got {value}, expected "):
        build(**{option: value})
