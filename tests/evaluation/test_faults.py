"""Planted faults are what they are named after, in as many images as are asked for."""

from dataclasses import replace

import pytest
import torch
from evaluation.test_baselines import N, labelled_inputs

from genlib.data.images import StoredImages
from genlib.data.random import seeded_generator
from genlib.evaluation.baselines import BaselineSampler, simulate
from genlib.evaluation.faults import FAULTS, SALT_SHARE, SHARES, FaultPlanter, make_faulty, salt_pixels
from genlib.metrics.inputs import FeatureSet
from genlib.metrics.registry import DIVERSE


def extract(images: StoredImages) -> FeatureSet:
    """Features of twelve pixels."""
    x = images.pixels[:].flatten(1)[:, :12].float()
    return FeatureSet(images.pixels, images.labels, x, torch.full((len(x), 10), 0.1))


@pytest.fixture(scope="module")
def planter():
    inputs = labelled_inputs()
    g = torch.Generator().manual_seed(5)
    pixels = torch.randint(256, (len(inputs.train), 1, 4, 4), generator=g, dtype=torch.uint8)
    inputs = replace(inputs, train=FeatureSet(pixels, None, inputs.train.features, inputs.train.probabilities))
    faulty = make_faulty(inputs, extract)
    return FaultPlanter(BaselineSampler(inputs, list(faulty.values())), faulty)


def spoil(planter, fault, count, replicate=0):
    draw = planter.sampler.draw(replicate)
    return draw, planter._spoil(fault, draw, count, seeded_generator(0, fault, str(replicate)))


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("share", SHARES)
def test_as_many_images_are_at_fault_as_asked_for_and_the_others_stay(planter, fault, share):
    count = round(share * N)
    draw, rows = spoil(planter, fault, count)
    if rows is None:
        assert fault == "a class missing" and share > 0.3, "too few images of other classes are left"
        return
    changed = int((rows != draw.generated).sum())
    assert changed in ((count, max(0, count - 1)) if fault == "one image repeated" else (count,))
    assert not torch.isin(rows, draw.test).any() or fault == "a class missing"


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_images_at_fault_stay_so_at_larger_shares(planter, fault):
    draw, few = spoil(planter, fault, 10)
    _, many = spoil(planter, fault, 40)
    changed = few != draw.generated
    assert (many != draw.generated)[changed].all()


def test_no_training_image_is_copied_twice(planter):
    draw, rows = spoil(planter, "copies", 60)
    assert len(rows[rows != draw.generated].unique()) == 60


def test_a_repeated_image_is_there_as_often_as_asked(planter):
    _, rows = spoil(planter, "one image repeated", 30)
    assert int(rows.bincount().max()) == 30


def test_classes_give_way_one_after_the_other(planter):
    draw, rows = spoil(planter, "a class missing", 30)
    before, after = (planter.sampler.classes[each].bincount(minlength=10) for each in (draw.generated, rows))
    gone = (after < before).nonzero().flatten()
    assert int((before - after).clamp(min=0).sum()) == 30
    assert int((after[gone] > 0).sum()) <= 1
    assert len(rows.unique()) == N


def test_pixel_faults_are_made_of_the_image_whose_place_they_take(planter):
    draw, rows = spoil(planter, "blur", 40)
    changed = rows != draw.generated
    start, _ = planter._place("blur")
    assert torch.equal(rows[changed] - start, draw.generated[changed])


def test_salt_replaces_its_share_of_the_pixels_in_all_channels():
    pixels = torch.full((400, 3, 16, 16), 100, dtype=torch.uint8)
    changed = salt_pixels(pixels, torch.Generator().manual_seed(0)) != 100
    assert float(changed.any(1).double().mean()) == pytest.approx(SALT_SHARE, rel=0.05)
    assert int(changed.all(1).sum()) > 0.98 * int(changed.any(1).sum())  # but for those that get the same level again


def test_a_fault_in_most_images_is_found_and_one_in_few_is_not_seen_by_what_is_blind(planter):
    """The class frequencies tell a missing class; the sharpness of pixels does not."""
    heard = simulate(planter.sampler, ["mode_kl", "sharpness"])
    found = planter.plant("a class missing", heard)
    assert {name: p.shape[0] for name, p in found.items()} == dict.fromkeys(heard, len(SHARES))
    assert (found["mode_kl"][-1] < 0.01).all()
    assert float((found["sharpness"][-1] < 0.05).double().mean()) < 0.5


def test_what_cannot_be_made_is_not_planted(planter):
    alone = FaultPlanter(planter.sampler, {})
    assert [fault for fault in FAULTS if alone.can_plant(fault)] == [f for f, q in FAULTS.items() if q == DIVERSE]
