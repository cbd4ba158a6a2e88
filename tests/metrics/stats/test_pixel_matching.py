"""Pixel matching: against independent code, closed forms and planted faults."""

import numpy as np
import pytest
import torch
from synthetic_features import blobs, moved

from genlib.metrics.stats import pixel_matching as registration
from genlib.metrics.stats.pixel_matching import aligned_distance


def test_without_rotations_it_is_the_best_correlation_over_shifts(monkeypatch):
    monkeypatch.setattr(registration, "MAX_SHIFT", {0: 1})
    monkeypatch.setattr(registration, "VIEWS", ((1.0, 1.0),))
    monkeypatch.setattr(registration, "NEAREST_PER_VIEW", 40)
    monkeypatch.setattr(registration, "CANDIDATES_PER_DESCRIPTOR", 40)
    x, train = blobs(7, 1), blobs(40, 2)
    distance, star, scale = aligned_distance(x, train)
    padded = np.pad(x[:, 0].numpy().astype(float), ((0, 0), (1, 1), (1, 1)), mode="edge")
    shifts = [padded[:, i : i + 16, j : j + 16].reshape(7, -1) for i in range(3) for j in range(3)]
    known = train.flatten(1).numpy().astype(float)
    corr = np.stack([np.corrcoef(shift, known)[:7, 7:] for shift in shifts]).max(0)
    np.testing.assert_allclose(distance, 1 - corr.max(1), atol=1e-5)
    np.testing.assert_array_equal(star, corr.argmax(1))
    np.testing.assert_allclose(scale, np.sort(1 - corr, 1)[:, 7], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 9, 14)])
def test_views_are_mirrored_and_zoomed_about_the_centre(shape):
    images = torch.randint(256, (4, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    as_is, mirrored, zoomed, both = registration.show_views(images, torch.arange(4)).double()
    torch.testing.assert_close(as_is, images[0].double(), rtol=0, atol=1e-2)
    torch.testing.assert_close(mirrored, images[1].flip(2).double(), rtol=0, atol=1e-2)
    ndimage = pytest.importorskip("scipy.ndimage")
    offset = [0, *(0.05 * (side - 1) for side in shape[1:])]
    known = [ndimage.affine_transform(images[i].double().numpy(), [1, 0.9, 0.9], offset, order=1) for i in (2, 3)]
    np.testing.assert_allclose(zoomed, known[0], atol=1e-2)
    np.testing.assert_allclose(both, known[1][..., ::-1], atol=1e-2)


def test_the_8th_nearest_is_of_different_training_images():
    distance = torch.tensor([[0.5, 0.1, 0.2, 0.3], [0.4, 0.3, 0.2, 0.1]])
    rows = torch.tensor([[3, 7, 7, 1], [0, 0, 0, 0]])
    found = registration.nearest_and_local_scale(distance, rows)
    assert [part.tolist() for part in found] == [[pytest.approx(0.1)] * 2, [7, 0], [0.5, pytest.approx(0.1)]]
    many = torch.linspace(0.1, 1, 10)[None]
    assert registration.nearest_and_local_scale(many, torch.arange(10)[None])[2].item() == pytest.approx(0.8)


@pytest.mark.parametrize("how", ["exact", "shifted", "rotated", "mirrored", "zoomed", "cropped"])
def test_a_moved_copy_is_near_its_original_and_a_new_image_is_not(how):
    train = blobs(600, 1)
    distance, star, _ = aligned_distance(moved(train[100:200], how), train)
    assert (star == torch.arange(100, 200)).double().mean() >= 0.97
    assert distance.quantile(0.95) < aligned_distance(blobs(200, 2), train)[0].min() / 2


def test_brightness_and_contrast_do_not_count():
    train = blobs(100, 1)
    pale = (train[:20].float() * 0.5 + 60).round().to(torch.uint8)
    distance, star, _ = aligned_distance(pale, train)
    assert distance.max() < 1e-3 and (star == torch.arange(20)).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 12), (1, 2, 2)])
def test_any_shape_will_do_and_the_chunk_does_not_matter(shape, monkeypatch):
    g = torch.Generator().manual_seed(0)
    x, train = (torch.randint(256, (n, *shape), generator=g, dtype=torch.uint8) for n in (50, 70))
    whole = aligned_distance(x, train)
    monkeypatch.setattr(registration, "CHUNK_ELEMENTS", 1)
    monkeypatch.setattr("genlib.data.images.MAX_CHUNK", 7)
    parts = aligned_distance(x, train)
    torch.testing.assert_close(whole[0], parts[0], rtol=0, atol=1e-6)
    assert (whole[0] >= 0).all() and (whole[0] <= 2).all()


def test_images_of_one_colour_are_near_nothing():
    flat, train = torch.full((5, 1, 16, 16), 7, dtype=torch.uint8), blobs(50, 1)
    assert aligned_distance(flat, train)[0].min() > 0.999 and aligned_distance(train, flat)[0].min() > 0.999
