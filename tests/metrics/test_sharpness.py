"""Sharpness: against independent code, closed forms and planted faults."""

import numpy as np
import pytest
import torch

from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.sharpness import laplacian_variance, sharpness


def drawn(pixels):
    """A view of uint8 [n, C, H, W] that no judge saw."""
    return FeatureSet(pixels, None, torch.zeros(len(pixels), 1), torch.ones(len(pixels), 1))


def pictures(n=60, size=12, channels=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, size, size), generator=g, dtype=torch.uint8)


def sharp(made, test):
    made, test = drawn(made), drawn(test)
    return sharpness(MetricInputs(test, test, test, made, 0))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_edges_are_those_of_scipy(channels):
    ndimage = pytest.importorskip("scipy.ndimage")
    some = pictures(channels=channels)
    theirs = [np.stack([ndimage.laplace(c.astype(float))[1:-1, 1:-1] for c in image]).var() for image in some.numpy()]
    np.testing.assert_allclose(laplacian_variance(some).numpy(), theirs, rtol=1e-6)


def test_sharpness_of_equal_laws_is_one_of_blur_less_and_of_contrast_its_square():
    test = pictures(seed=1)
    same = sharp(pictures(), test)
    assert same.low < 1 < same.high
    blurred = torch.nn.functional.avg_pool2d(pictures().float(), 3, 1, 1).round().to(torch.uint8)
    assert sharp(blurred, test).high < 0.2
    even = test // 2 * 2
    assert sharp(even // 2, even).value == pytest.approx(0.25)


def test_flat_images_have_no_edges_and_cannot_be_the_measure():
    flat = torch.full((60, 1, 12, 12), 7, dtype=torch.uint8)
    measure = sharp(flat, pictures())
    assert (measure.value, measure.low, measure.high) == (0, 0, 0)
    assert sharp(pictures(), flat).detail["reason"] == "the test images are flat"
    assert sharp(pictures(size=2), pictures(size=2)).detail["reason"].endswith("3 x 3 pixels, found 2 x 2")
