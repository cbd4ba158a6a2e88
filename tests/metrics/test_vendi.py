"""Vendi: against independent code, closed forms and planted faults."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import D, evidence, real, view

from genlib.data.random import seeded_generator
from genlib.metrics.vendi import effective_number, vendi


@pytest.mark.parametrize("d", [5, 400])
def test_vendi_is_the_entropy_of_numpys_eigenvalues(d):
    x = torch.randn(150, d, generator=seeded_generator("vendi", d))
    e = replace(evidence(real(150, 4)), samples=view(x, torch.zeros(150, dtype=torch.long)))
    unit = x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / 150)
    values = values[values > 1e-12]
    assert vendi(e).value == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-6)


def test_vendi_counts_orthogonal_images():
    x = torch.eye(8).repeat(30, 1)
    assert effective_number(x.double()) == pytest.approx(8)
    assert effective_number(x[:, :1].double().repeat(1, 3) * 0 + 1 / math.sqrt(3)) == pytest.approx(1)
    features = torch.cat([torch.eye(D)] * 10 + [torch.zeros(3, D)])
    e = replace(evidence(real(123, 4)), samples=view(features, torch.zeros(123, dtype=torch.long)))
    assert vendi(e).detail["reason"] == "3 images have features of length 0"
