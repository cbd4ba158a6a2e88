"""Copies: against independent code, closed forms and planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import blobs, moved, of_pixels, seen

from genlib.evaluation.controls import blur_pixels
from genlib.metrics.copies import MAX_HELD_OUT, MAX_SIDE, CopyRadius, copies, nearest_aligned
from genlib.metrics.stats.pixel_matching import aligned_distance


@pytest.mark.parametrize("how", ["exact", "shifted", "rotated", "mirrored", "zoomed", "cropped"])
def test_copies_are_counted_even_if_moved(how):
    train = blobs(600, 1)
    whole = copies(of_pixels(moved(train[:300], how)))
    expected = whole.detail["expected"] / 300
    assert whole.value == pytest.approx(1 - expected, abs=0.03) and whole.low > 0.9
    few = copies(of_pixels(torch.cat([moved(train[:30], how), blobs(270, 9)])))
    assert few.low > 0.03 and few.value == pytest.approx(0.1, abs=0.03)
    rows, originals = zip(*few.detail["nearest"], strict=True)
    assert sum(row == original for row, original in zip(rows, originals, strict=True)) >= 18


def test_real_images_get_about_zero_and_their_intervals_hold_it():
    found = [copies(of_pixels(blobs(300, 20 + seed))) for seed in range(10)]
    assert abs(np.mean([m.value for m in found])) < 0.01
    assert sum(m.low <= 0 <= m.high for m in found) >= 8


def test_the_chance_of_a_real_image_is_exact():
    beta = pytest.importorskip("scipy.stats").beta
    rng = np.random.default_rng(0)
    for j, m in ((1, 40), (3, 350)):
        radii = [CopyRadius.from_held_out(torch.from_numpy(rng.random(m))) for _ in range(2000)]
        law = beta(j, m + 1 - j)
        assert radii[0].chance == pytest.approx(law.mean()) and radii[0].variance == pytest.approx(law.var())
        assert np.mean([r.radius for r in radii]) == pytest.approx(law.mean(), rel=0.07)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_one_image_repeated_is_one_image(share):
    """The likeliest copy among real images, repeated, does not count more than once."""
    real = blobs(300, 9)
    e = of_pixels(real)
    likeliest = nearest_aligned(real, e.train.pixels).ratio.argmin()
    times = int(300 * share)
    repeated = torch.cat([real[likeliest].expand(times, -1, -1, -1), real[:likeliest], real[likeliest + 1 :]])[:300]
    found = copies(replace(e, samples=seen(repeated)))
    assert found.detail["distinct"] == 301 - times and found.low <= 0 and found.value < 0.03
    jittered = (repeated + torch.randint(-3, 4, repeated.shape, generator=torch.Generator().manual_seed(0))).clamp(
        0, 255
    )
    assert copies(replace(e, samples=seen(jittered.to(torch.uint8)))).detail["distinct"] <= 302 - times


def test_a_collapse_onto_one_image_is_a_reason():
    found = copies(of_pixels(blobs(1, 9).repeat(300, 1, 1, 1)))
    assert found.value is None and found.detail["reason"] == "needs at least 20 different images, found 1 among 300"


def test_blurred_real_images_are_not_copies_and_blurred_copies_may_be():
    real = [copies(of_pixels(blur_pixels(blobs(300, 20 + seed)))) for seed in range(5)]
    assert np.mean([m.value for m in real]) < 0.01 and sum(m.low > 0 for m in real) == 0
    assert copies(of_pixels(blur_pixels(blobs(600, 1))[:300])).low > 0.9


def test_classes_and_labels_do_not_matter():
    e = of_pixels(blobs(600, 1))
    unlabelled = replace(e, has_class_names=False)
    assert copies(unlabelled).value == copies(e).value


def test_a_fresh_image_is_judged_by_the_same_radius_whoever_asks():
    e = of_pixels(blobs(300, 9))
    assert copies(e).detail["threshold"] == copies(e.with_real_samples()).detail["threshold"]
    assert copies(e).detail["held_out"] == 400 <= MAX_HELD_OUT


def test_the_ratio_is_a_function_of_each_image_alone():
    train, made = blobs(100, 1), blobs(30, 9)
    whole, part = nearest_aligned(made, train), nearest_aligned(made[10:20], train)
    for all_, some in zip(vars(whole).values(), vars(part).values(), strict=True):
        torch.testing.assert_close(all_[10:20], some, rtol=0, atol=1e-6)


def enlarged(pixels, height, width):
    return pixels.repeat_interleave(height, 2).repeat_interleave(width, 3)


def test_large_images_are_compared_at_64_pixels_in_their_proportion():
    train, made = blobs(60, 1), blobs(20, 9)
    times = 2 * MAX_SIDE // train.shape[2]
    found = nearest_aligned(enlarged(made, times, times // 2), enlarged(train, times, times // 2))
    small = aligned_distance(enlarged(made, times // 2, times // 4), enlarged(train, times // 2, times // 4))
    for mine, theirs in zip((found.distance, found.index, found.scale), small, strict=True):
        torch.testing.assert_close(mine, theirs)
