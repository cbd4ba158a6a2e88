"""How a translator is evaluated: two directions, label preservation, cycle error."""

from dataclasses import replace

import pytest
import torch
from prepared import digits
from torch import nn

from genlib.data.dataset import load_dataset
from genlib.data.images import Images
from genlib.errors import InputError
from genlib.evaluation.evaluator import Evaluator, RealFeatures, TrialScorer, compute_applicable_metrics, draw_samples
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.evaluation.runner import compute_metrics
from genlib.figures.evaluation import plot_sample_grid, plot_translations
from genlib.metrics.inputs import extract_features
from genlib.metrics.translation import TranslationDirection, cycle_error, label_preservation
from genlib.report.leaderboard import better_direction, describe_metric

CLASSES = 4


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def images(shape=(1, 8, 8), n=24, seed=1):
    """Each class is bright in its own corner."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    pixels = torch.randint(0, 60, (n, *shape), generator=g)
    for label, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        pixels[labels == label, :, y : y + 4, x : x + 4] += 150
    return Images(pixels.to(torch.uint8), labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


class Judge(nn.Module):
    """The four corners' brightness is its features, in which the noise of four pixels makes it err."""

    def features(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1) + 4 * x[:, :, 2:4, 2:4].flatten(1)

    def forward(self, x):
        return 4 * self.features(x)


class Shift(nn.Module):
    """Adds 0.1 to b, and 0.05 to a."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def translate(self, x, to):
        return x + (0.1 if to == "b" else 0.05)


class Still(Shift):
    def translate(self, x, to):
        return x


class Domain:
    """What a data set is, of images in memory."""

    def __init__(self, seed, n=(300, 130, 140), domain_b=None, classes=("0", "1", "2", "3")):
        self.train, self.valid, self.test = (images(n=size, seed=seed + k) for k, size in enumerate(n))
        self.domain_b, self.classes = domain_b, list(classes)

    def open_split(self, name):
        return getattr(self, name)


def bench(**options):
    dataset = Domain(10, domain_b=Domain(20, n=(200, 160, 120), **options))
    judge = Judge()
    return Evaluator(CachedExtractor(judge), dataset, RealFeatures.extract(CachedExtractor(judge), dataset), {})


def test_each_way_is_held_against_the_domain_it_leads_to():
    real = bench()
    ways = real.test_inputs(Still(), 100, 0)
    domains = real.real, real.domain_b
    for (ending, evidence), (source, target) in zip(ways.items(), (domains, domains[::-1]), strict=True):
        assert evidence.model.to == ending[-1]
        assert evidence.n == 100
        assert evidence.train is target.train
        for mine, all_of in (
            (evidence.valid, target.valid),
            (evidence.test, target.test),
            (evidence.generated, source.test),
        ):
            kept = {image.numpy().tobytes() for image in all_of.pixels}
            assert all(image.numpy().tobytes() in kept for image in mine.pixels)
        assert torch.equal(evidence.generated.pixels, evidence.model.source.pixels)
        assert torch.equal(evidence.generated.labels, evidence.model.source.labels)


def test_a_rehearsal_sees_no_test_images():
    real = bench()
    hidden = {image.numpy().tobytes() for views in (real.real, real.domain_b) for image in views.test.pixels}
    for evidence in real.validation_inputs(Still(), 100, 0).values():
        for view in (evidence.generated, evidence.test, evidence.valid, evidence.train):
            assert not any(image.numpy().tobytes() in hidden for image in view.pixels)


def test_the_second_domain_is_looked_at_for_those_alone_who_need_it():
    real = bench()
    real.test_inputs(nn.Linear(1, 1), 50, 0)
    assert "domain_b" not in vars(real)


def test_a_translator_before_one_domain_is_refused():
    dataset, judge = Domain(10), Judge()
    with pytest.raises(InputError, match=r"^data.domain_b: got one domain"):
        Evaluator(
            CachedExtractor(judge), dataset, RealFeatures.extract(CachedExtractor(judge), dataset), {}
        ).test_inputs(Still(), 50, 0)


def test_who_changes_nothing_keeps_as_many_labels_as_the_judge_knows_of_the_source():
    real = bench()
    found = compute_applicable_metrics(
        real.test_inputs(Still(), 500, 0), ["label_preservation", "frechet", "accuracy", "cycle_error"]
    )
    ways = ("_a2b", "_b2a")
    assert list(found) == [name + way for name in ("label_preservation", "frechet", "cycle_error") for way in ways]
    back = found["label_preservation_b2a"]
    knows = (real.domain_b.test.predicted_classes == real.domain_b.test.labels).float().mean().item()
    assert back.value == pytest.approx(knows)
    assert 0.5 < knows < 1
    assert back.n == 120
    assert back.low < back.value < back.high
    chosen = real.test_inputs(Still(), 500, 0)["_b2a"].with_real_samples().generated
    assert back.null == pytest.approx((chosen.predicted_classes == chosen.labels).float().mean().item())
    assert back.detail["null"]["low"] < back.null < back.detail["null"]["high"]
    assert found["cycle_error_a2b"].value == 0


def test_labels_of_other_classes_are_not_compared():
    found = compute_applicable_metrics(bench(classes="wxyz").test_inputs(Still(), 100, 0), ["label_preservation"])
    assert {each.detail["reason"] for each in found.values()} == {"the two domains share no labels"}


def test_the_cycle_error_is_of_intensities():
    direction = TranslationDirection(Shift(), "b", images(n=50))
    evidence = replace(bench().test_inputs(Still(), 50, 0)["_a2b"], model=direction)
    found = compute_metrics(evidence, ["cycle_error"])["cycle_error"]
    assert found.value == pytest.approx(0.075, abs=1e-6)
    assert found.low == pytest.approx(found.high, abs=1e-6)
    assert found.null is None
    few = replace(direction, source=images(n=5))
    assert "at least 6" in cycle_error(replace(evidence, model=few)).detail["reason"]


def test_who_does_not_translate_is_told():
    evidence = replace(bench().test_inputs(Still(), 50, 0)["_a2b"], model=None)
    for metric in (label_preservation, cycle_error):
        assert metric(evidence).detail["reason"] == "this model does not translate"


def test_a_rehearsal_gives_the_mean_of_both_ways():
    real = bench()
    asked = ("label_preservation", "frechet", "accuracy")
    found = TrialScorer(real, asked, 120, 0)(Still())
    assert list(found) == ["label_preservation", "frechet", "label_preservation_low", "label_preservation_high"]
    ways = compute_applicable_metrics(real.validation_inputs(Still(), 120, 0), ["frechet"])
    assert found["frechet"] == pytest.approx((ways["frechet_a2b"].value + ways["frechet_b2a"].value) / 2)


class Asked(nn.Module):
    """A conditional sampler whose images are as bright as their class."""

    conditional = True

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def sample(self, n, *, seed=0, y=None):
        return y.view(n, 1, 1, 1).expand(n, 1, 8, 8) / 10 - 0.5


def test_a_conditional_sampler_is_asked_for_classes_as_frequent_as_in_training():
    labels = torch.tensor([0, 0, 0, 2])
    found = draw_samples(Asked(), 4000, 0, labels)
    assert found.labels.bincount(minlength=4).tolist() == pytest.approx([3000, 0, 1000, 0], abs=120)
    expected = ((found.labels / 10 + 0.5) * 127.5).round()
    torch.testing.assert_close(found.pixels[:, 0, 0, 0].float(), expected, rtol=0, atol=1)
    assert torch.equal(draw_samples(Asked(), 50, 1, labels).labels, draw_samples(Asked(), 50, 1, labels).labels)
    assert not torch.equal(draw_samples(Asked(), 50, 1, labels).labels, draw_samples(Asked(), 50, 2, labels).labels)


def test_the_picture_has_three_rows_a_way(tmp_path):
    ways = bench().test_inputs(Shift(), 50, 0)
    path = plot_translations(ways, tmp_path / "translations.png")
    source = extract_features(Judge(), ways["_a2b"].model.source)
    assert path.stat().st_size > plot_sample_grid(source.pixels[:1], tmp_path / "one.png").stat().st_size


def test_the_report_knows_a_metric_of_either_way():
    assert better_direction("cycle_error_a2b") == "lower"
    assert better_direction("frechet_b2a") == better_direction("frechet")
    assert describe_metric("frechet_a2b") == describe_metric("frechet") + " Of images of A translated to B."
    assert describe_metric("frechet_b2c") == better_direction("frechet_b2c") == ""


def test_the_prepared_digits_are_two_domains_of_the_same_classes(data):
    dataset = load_dataset(data)
    assert dataset.domain_b.classes == dataset.classes
