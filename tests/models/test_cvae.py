"""The conditional VAE uses its labels."""

from __future__ import annotations

import pytest
import torch
from likelihood_models import FAMILY, batch_of, terms

from genlib.models import cvae
from genlib.objectives import elbo


def test_labels_reach_encoder_decoder_and_samples():
    torch.manual_seed(0)
    model, x = FAMILY["cvae"](), batch_of(4).x
    ones, twos = torch.ones(4, dtype=torch.long), torch.full((4,), 2)
    assert not torch.allclose(model.encode_mean(x, ones), model.encode_mean(x, twos))
    z = torch.randn(4, 3)
    assert not torch.allclose(model.decode_image(z, ones), model.decode_image(z, twos))
    assert not torch.allclose(model.sample(4, y=ones), model.sample(4, y=twos))
    torch.testing.assert_close(model.sample(4, y=ones)[:2], model.sample(2, y=ones[:2]))
    batch = batch_of()
    loss = terms(elbo.Build(), model, batch).loss
    swapped = type(batch)(
        batch.pixels, (batch.labels + 1) % 10, batch.global_size, batch.rank_rows, batch.seed, batch.step
    )
    assert not torch.allclose(loss, terms(elbo.Build(), model, swapped).loss)


def test_a_conditional_model_without_labels_is_refused():
    with pytest.raises(ValueError, match=r"^needs labels, and the data have none$"):
        cvae.Build((1, 16, 16), 0)
