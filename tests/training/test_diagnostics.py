"""How a game of two players stands: planted repertoires are told, real ones pass at any contrast and blur, trials are
given up in time."""

import pytest
import torch
from prepared import digits, job
from shared_images import read_images
from torch.nn import functional as F

from genlib.data.dataset import load_dataset
from genlib.data.images import Images, to_float
from genlib.objectives.classification import shift_images
from genlib.training.diagnostics import (
    K_NEAREST,
    NUM_COMPARED,
    duplicate_rate,
    is_gan,
    pool_pixels,
    sample_diversity,
)
from genlib.training.fit import fit
from genlib.training.gan_state import COLLAPSE_PATIENCE, GRACE_FRACTION, CollapseStopper, gan_state


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


class Stored:
    """A generator of these images, one after the other."""

    def __init__(self, pixels):
        self.pixels = pixels

    def sample(self, n, *, seed=0):
        return to_float(self.pixels[torch.arange(n) % len(self.pixels)])


def test_real_images_cover_and_do_not_repeat(data):
    dataset = load_dataset(data)
    found = sample_diversity(Stored(dataset.valid.pixels), dataset.train)
    assert found["pixel_coverage"] > 0.9
    assert found["duplicate_rate"] < 0.1
    assert gan_state({"d_real": 0.6, "d_fake": 0.6, **found}) == "balanced"


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_stored_repertoire_is_a_collapse(data, k):
    dataset = load_dataset(data)
    found = sample_diversity(Stored(dataset.valid.pixels[:k]), dataset.train)
    assert found["duplicate_rate"] == 1
    assert found["pixel_coverage"] < 0.9
    assert gan_state({"d_real": 0.6, "d_fake": 0.6, **found}) == "collapsed"


def test_coverage_falls_with_the_repertoire(data):
    dataset = load_dataset(data)
    sizes = (1, 10, 100, len(dataset.valid))
    covered = [sample_diversity(Stored(dataset.valid.pixels[:k]), dataset.train)["pixel_coverage"] for k in sizes]
    assert covered == sorted(covered)
    assert covered[0] < 0.1


def test_noise_covers_nothing_and_is_no_collapse(data):
    dataset = load_dataset(data)
    noise = torch.randint(256, (NUM_COMPARED, *dataset.shape), generator=torch.Generator().manual_seed(0))
    found = sample_diversity(Stored(noise.to(torch.uint8)), dataset.train)
    assert found == {"pixel_coverage": 0, "duplicate_rate": 0}


def to_uint8(x):
    return x.round().clamp(0, 255).to(torch.uint8)


def with_contrast(x, factor):
    return to_uint8(127.5 + factor * (x.float() - 127.5))


def blurred(x, side):
    """As if it had been `side` pixels wide."""
    coarse = F.adaptive_avg_pool2d(x.float(), side)
    return to_uint8(F.interpolate(coarse, x.shape[2:], mode="bilinear"))


def noisy(x, std):
    return to_uint8(x + std * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))


def moved(x):
    """Each image by -1, 0 or 1 pixels each way."""
    offsets = torch.randint(3, (len(x), 2), generator=torch.Generator().manual_seed(0))
    return shift_images(x.float(), offsets, 1).to(torch.uint8)


DIFFERENT = {  # different images, each of them
    "as they are": lambda x: x,
    "contrast 0.7": lambda x: with_contrast(x, 0.7),
    "contrast 0.5": lambda x: with_contrast(x, 0.5),
    "contrast 0.3": lambda x: with_contrast(x, 0.3),
    "darker": lambda x: to_uint8(0.3 * x.float()),
    "blurred to 4": lambda x: blurred(x, 4),
    "blurred to 2": lambda x: blurred(x, 2),
    "blurred to 4, contrast 0.3": lambda x: blurred(with_contrast(x, 0.3), 4),
    "grey": lambda x: to_uint8(x.float().mean(1, keepdim=True)).expand_as(x),
}
REPEATED = {  # the same ones, as they come out
    "exactly": lambda x: x,
    "with noise": lambda x: noisy(x, 4.0),
    "moved by a pixel": moved,
    "faint": lambda x: noisy(with_contrast(x, 0.3), 2.0),
    "blurred": lambda x: noisy(blurred(x, 4), 4.0),
}


@pytest.fixture(scope="module", params=["cifar10", "mnist", "digits"])
def two_draws(request, data):
    """Two times 256 different real images."""
    if request.param == "digits":
        images = load_dataset(data)
        return images.train.pixels[:NUM_COMPARED], images.train.pixels[NUM_COMPARED : 2 * NUM_COMPARED]
    images = read_images(request.param, 2 * NUM_COMPARED)
    return images[::2], images[1::2]


@pytest.mark.parametrize("change", DIFFERENT)
def test_neither_contrast_nor_blur_is_a_collapse(two_draws, change):
    real, others = two_draws
    assert duplicate_rate(pool_pixels(DIFFERENT[change](others)), pool_pixels(real)) < 0.2


@pytest.mark.parametrize("change", REPEATED)
@pytest.mark.parametrize("k", [1, 10])
def test_repeated_images_are_a_collapse(two_draws, k, change):
    real, others = two_draws
    repeated = REPEATED[change](others[torch.arange(NUM_COMPARED) % k])
    assert duplicate_rate(pool_pixels(repeated), pool_pixels(real)) > 0.9


def test_half_a_collapse_is_half_a_rate(two_draws):
    real, others = two_draws
    half = NUM_COMPARED // 2
    mixed = torch.cat([others[:half], noisy(others[torch.arange(half) % 10], 4.0)])
    assert duplicate_rate(pool_pixels(mixed), pool_pixels(real)) == pytest.approx(0.5, abs=0.1)


def test_images_of_one_colour_are_a_collapse(two_draws):
    real, others = two_draws
    assert duplicate_rate(pool_pixels(torch.full_like(others, 90)), pool_pixels(real)) == 1


@pytest.mark.parametrize("n", [1, K_NEAREST, K_NEAREST + 1])
def test_few_images_give_nothing_or_numbers(n):
    pixels = torch.randint(256, (n, 3, 8, 12), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = sample_diversity(Stored(pixels), Images(pixels))
    assert (found == {}) == (n <= K_NEAREST)


@pytest.mark.parametrize(
    ("report", "stands"),
    [
        ({"loss": 0.1}, None),
        ({"d_real": 0.99, "d_fake": 1.0}, "D wins"),
        ({"d_real": 0.6, "d_fake": 0.2}, "G wins"),
        ({"d_real": 0.6, "d_fake": 0.6}, "balanced"),
        ({"d_real": 0.99, "d_fake": 1.0, "duplicate_rate": 0.9}, "collapsed"),
    ],
)
def test_a_report_says_how_the_game_stands(report, stands):
    assert gan_state(report) == stands


def test_a_trial_is_given_up_late_and_only_for_what_lasts():
    gone, well = {"duplicate_rate": 1.0}, {"duplicate_rate": 0.0}
    patience = CollapseStopper(900)
    reports = [(100, gone), (200, gone), (300, gone), (400, well), (500, gone), (600, gone), (700, gone)]
    lost = [seen for seen, metrics in reports if patience.should_stop(seen, metrics)]
    assert lost == [600, 700]
    early = CollapseStopper(900)
    assert not any(early.should_stop(seen, gone) for seen in range(0, int(900 * GRACE_FRACTION), 50))
    assert COLLAPSE_PATIENCE == 2


@pytest.mark.parametrize("name", ["gan", "cgan"])
def test_every_report_of_two_players_tells_their_repertoire(name, data):
    reports = [progress for progress in fit(job(name, data)) if not progress.resumed]
    assert reports and is_gan(reports[0].model)
    assert all({"pixel_coverage", "duplicate_rate", "d_real", "d_fake"} <= set(report.metrics) for report in reports)


def test_a_model_of_one_player_is_not_watched(data):
    assert all("duplicate_rate" not in progress.metrics for progress in fit(job("vae", data)))
