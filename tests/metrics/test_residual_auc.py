"""Energies of pixels in bands of principal components tell what features of classes do not."""

import pytest
import torch
from torch.nn import functional as F

from genlib.evaluation.controls import blur_pixels
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.residual_auc import PixelBands, mean_area, residual_auc

SIDE = 12


def pictures(n, seed, sigma=1.5):
    """Smooth random fields, uint8 [n, 1, 12, 12]."""
    x = torch.randn(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    line = torch.exp(-(torch.arange(-4, 5.0) / sigma).square() / 2)
    kernel = (line.outer(line) / line.outer(line).norm())[None, None]
    return (F.conv2d(F.pad(x, [4] * 4, mode="replicate"), kernel) * 40 + 128).clamp(0, 255).round().to(torch.uint8)


def images(pixels):
    blank = torch.zeros(len(pixels), 2)
    return FeatureSet(pixels, None, blank, blank + 0.5)


def inputs(generated, n=400, seed=3):
    train, valid, test = (images(pictures(*each)) for each in ((1000, 1), (n, 2), (n, seed)))
    return MetricInputs(train, valid, test, images(generated[:n]), seed=0)


def test_equal_distributions_are_at_chance_and_the_interval_holds_it():
    """Over 40 draws: the mean within three standard errors of 0.5, the interval holds it in at least 34."""
    found = [residual_auc(inputs(pictures(400, 100 + seed), seed=200 + seed)) for seed in range(40)]
    values = torch.tensor([each.value for each in found])
    assert abs(float(values.mean()) - 0.5) < 3 * float(values.std()) / 40**0.5 + 0.002
    assert sum(each.low <= 0.5 <= each.high for each in found) >= 34


@pytest.mark.parametrize("fault", ["blur", "noise", "upsampled", "one pixel in fifty"])
def test_faults_of_all_images_are_told(fault):
    real = pictures(400, 20)
    g = torch.Generator().manual_seed(0)
    noise = torch.randint(256, real.shape, generator=g, dtype=torch.uint8)
    made = {
        "blur": blur_pixels(real),
        "noise": noise,
        "upsampled": F.interpolate(real[:, :, ::2, ::2].float(), (SIDE, SIDE), mode="bilinear").to(torch.uint8),
        "one pixel in fifty": torch.where(torch.rand(real.shape, generator=g) < 0.02, noise, real),
    }[fault]
    found = residual_auc(inputs(made))
    assert found.low > 0.6


def test_whitened_bands_of_what_they_were_fitted_to_have_mean_one():
    x = pictures(600, 1).flatten(1).float()
    bands = PixelBands.fit(x)
    described = bands.describe(x).exp()
    assert described.mean(0).tolist() == pytest.approx([1.001] * described.shape[1], abs=0.02)


def test_the_value_is_the_mean_of_its_halves_and_does_not_depend_on_labels():
    some = inputs(pictures(400, 30))
    assert residual_auc(some).value == pytest.approx(mean_area(some))
