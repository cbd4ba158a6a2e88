"""Copies: against independent code, closed forms and planted faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_features import blobs, moved, of_pixels, seen

from genlib.metrics.copies import MAX_HELD_OUT, CopyRadii, copies


@pytest.mark.parametrize("how", ["exact", "shifted", "rotated"])
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
    rng, held = np.random.default_rng(0), torch.tensor([0] * 40 + [2] * 350)
    radii = [CopyRadii.from_held_out(torch.from_numpy(rng.random(390)), held, 3) for _ in range(2000)]
    for c, j, m in ((0, 1, 40), (2, 3, 350)):
        law = beta(j, m + 1 - j)
        assert float(radii[0].chance[c]) == pytest.approx(law.mean())
        assert float(radii[0].variance[c]) == pytest.approx(law.var())
        assert np.mean([float(r.radius[c]) for r in radii]) == pytest.approx(law.mean(), rel=0.07)
    assert (radii[0].radius[1], radii[0].chance[1], radii[0].variance[1]) == (0, 0, 0)


def test_a_kind_that_no_held_out_image_has_is_never_a_copy():
    e = of_pixels(blobs(600, 1))
    kept = (e.test.predicted_classes == 0).nonzero()[:, 0]
    measure = copies(replace(e, test=e.test[kept]))
    assert measure.detail["threshold"]["1"] == 0 and measure.detail["count"] == int(
        (e.generated.predicted_classes == 0).sum()
    )


def test_without_classes_cells_take_their_place():
    e = replace(of_pixels(blobs(600, 1)), has_class_names=False)
    measure = copies(e)
    assert len(measure.detail["threshold"]) > 2 and measure.low > 0.85
    assert copies(replace(e, samples=seen(blobs(300, 9)))).high < 0.1


def test_a_fresh_image_is_judged_by_the_same_radii_whoever_asks():
    e = of_pixels(blobs(300, 9))
    assert copies(e).detail["threshold"].items() <= copies(e.with_real_samples()).detail["threshold"].items()
    assert copies(e).detail["held_out"] == 400 <= MAX_HELD_OUT
