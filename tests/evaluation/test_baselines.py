"""Draws of real images stand for both sides as the real ones do: disjoint, with the right numbers of each class."""

from dataclasses import replace

import pytest
import synthetic_features
import torch

from genlib.data.splits import stratify
from genlib.evaluation import baselines
from genlib.evaluation.baselines import BaselineSampler, share_out, simulate, statistic
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import get_metric

N = 120


def labelled_inputs(n=N, reserve=0, seed=0, labels=True, others=N) -> MetricInputs:
    """Held-out images in two stratified parts of a pool, valid with a reserve; as the generated ones n of `others`."""
    g = torch.Generator().manual_seed(seed)
    pool = synthetic_features.real(2 * n + reserve + others, seed)
    classes = pool.probabilities.argmax(1)
    pixels = torch.randint(256, (len(pool), 1, 4, 4), generator=g, dtype=torch.uint8)
    pool = FeatureSet(pixels, classes if labels else None, pool.features, pool.probabilities)
    valid, test, rest = (pool[rows] for rows in stratify(classes, [n + reserve, n], g))
    return MetricInputs(
        synthetic_features.real(400, 1), valid, test, rest[torch.randperm(others, generator=g)[:n]], seed=seed
    )


@pytest.mark.parametrize("reserve", [0, 7, N])
@pytest.mark.parametrize("labels", [True, False])
def test_no_image_is_drawn_twice(reserve, labels):
    sampler = BaselineSampler(labelled_inputs(reserve=reserve, labels=labels))
    for index in range(20):
        draw = sampler.draw(index)
        both = torch.cat([draw.generated, draw.test])
        assert len(both.unique()) == 2 * N
        assert len(draw.own_generated.unique()) == len(draw.own_generated) == N
        assert len(draw.own_test.unique()) == N
        assert int(both.max()) < sampler.held_out


def test_draws_are_those_of_their_index():
    one, other = (BaselineSampler(labelled_inputs()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.draw(3), other.draw(3), strict=True))
    assert not torch.equal(one.draw(3).generated, one.draw(4).generated)


@pytest.mark.parametrize("reserve", [0, N // 2, 4 * N])
def test_the_difference_of_the_mixes_is_that_of_an_independent_draw_and_the_test_set(reserve):
    """Variance of the count of a class on the generated side, less that on the test side: n p (1 - p), within 20 %; of
    sides of their own too."""
    sampler = BaselineSampler(labelled_inputs(reserve=reserve))
    kinds, p = sampler.kinds, sampler.kinds.bincount() / len(sampler.kinds)
    count = lambda rows: kinds[rows].bincount(minlength=len(p)).double()  # noqa: E731
    draws = [sampler.draw(index) for index in range(600)]
    wanted = N * p * (1 - p)
    for sides in ([count(d.generated) - count(d.test) for d in draws], [count(d.own_generated) for d in draws]):
        assert float(torch.stack(sides).var(0).sum() / wanted.sum()) == pytest.approx(1, abs=0.2)


def test_counts_are_shared_out_within_what_there_is():
    """A family of random counts: sums stay, nothing is negative or above what there is, and where there is enough of
    all classes nothing changes."""
    g = torch.Generator().manual_seed(0)
    for _ in range(300):
        classes = int(torch.randint(1, 12, (1,), generator=g))
        test, wanted = (torch.randint(0, 40, (classes,), generator=g) for _ in range(2))
        spare = int(torch.randint(0, 30, (1,), generator=g))
        available = torch.multinomial(
            torch.ones(classes), int((test + wanted).sum()) + spare, replacement=True, generator=g
        ).bincount(minlength=classes)
        first, second = share_out(wanted, test, available)
        assert (first.sum(), second.sum()) == (wanted.sum(), test.sum())
        if not ((wanted <= available) & (test <= available)).all():
            continue
        assert (first + second <= available).all()
        assert (first >= 0).all() and (second >= 0).all()
        if ((wanted + test) <= available).all():
            assert torch.equal(first, wanted)
            assert torch.equal(second, test)


def test_rare_classes_are_drawn_no_more_often_than_they_are_there():
    """Of three images of a class an independent draw may want more: others stand in, and both sides stay as large."""
    inputs = labelled_inputs()
    rare = [
        torch.where(torch.arange(N) < count, 9, images.labels.clamp(max=8))
        for images, count in ((inputs.valid, 1), (inputs.test, 2))
    ]
    sets = [replace(images, labels=labels) for images, labels in zip((inputs.valid, inputs.test), rare, strict=True)]
    sampler = BaselineSampler(replace(inputs, valid=sets[0], test=sets[1]))
    wanted = []
    for index in range(300):
        draw = sampler.draw(index)
        assert [len(rows.unique()) for rows in draw] == [N] * 4
        wanted.append(int((sampler.kinds[draw.own_generated] == 9).sum()))
    assert max(wanted) == 3


def test_classes_count_where_only_training_images_lack_labels():
    """Planted copies are training images: without labels they must not hide those of the held-out ones."""
    inputs = labelled_inputs()
    train = replace(inputs.train, labels=None)
    sampler = BaselineSampler(inputs, [train[:10]])
    assert torch.equal(sampler.kinds, torch.cat([inputs.valid.labels, inputs.test.labels]))


def test_counts_by_hand():
    """Class 0 is short by 4: both sides give 2 of it and take 2 of class 1, so their difference stays."""
    first, second = share_out(torch.tensor([14, 6]), torch.tensor([10, 10]), torch.tensor([20, 20]))
    assert (first.tolist(), second.tolist()) == ([12, 8], [8, 12])


def test_the_mean_of_the_baseline_is_what_independent_images_get(monkeypatch):
    """Over 60 splits, the baselines' mean is within 10 % that of independent images, where stratified parts before one
    another get less."""
    monkeypatch.setattr(baselines, "num_draws", lambda n, limit: 20)
    metric, found, fresh, parts = get_metric("frechet"), [], [], []
    for seed in range(60):
        inputs = labelled_inputs(seed=seed, others=10 * N)
        found.append(simulate(BaselineSampler(inputs), ["frechet"])["frechet"].mean)
        fresh.append(metric.value(inputs))
        parts.append(metric.value(inputs.with_real_samples()))
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    assert mean(found) == pytest.approx(mean(fresh), rel=0.1)
    assert mean(parts) < 0.8 * mean(found)


def test_a_metric_of_the_generated_images_alone_is_tested_by_its_difference_from_test_images():
    inputs = labelled_inputs()
    metric = get_metric("vendi")
    value, contrast = statistic(metric, inputs)
    assert value == metric.value(inputs)
    assert contrast == value - metric.value(replace(inputs, samples=inputs.test))


def test_a_metric_without_a_value_has_no_baseline():
    inputs = replace(labelled_inputs(), has_class_names=False)
    assert "inception_score" not in simulate(BaselineSampler(inputs), ["inception_score"])


def test_measures_of_a_pool_are_those_of_its_images():
    """Every metric of a draw has the value that it has of the same images by themselves."""
    inputs = labelled_inputs()
    sampler = BaselineSampler(inputs)
    draw = sampler.draw(0)
    drawn = sampler.build(draw).paired
    parts = (FeatureSet(inputs.valid.pixels, *rest(inputs.valid)), FeatureSet(inputs.test.pixels, *rest(inputs.test)))
    whole = FeatureSet(*(torch.cat([getattr(part, name) for part in parts]) for name in FIELDS))
    plain = replace(drawn, samples=whole[draw.generated], test=whole[draw.test])
    for name in ("frechet", "kid", "precision", "coverage", "c2st", "sharpness", "mode_kl", "support", "authenticity"):
        assert get_metric(name).value(drawn) == pytest.approx(get_metric(name).value(plain), rel=1e-9), name


FIELDS = ("pixels", "labels", "features", "probabilities")


def rest(images):
    return [getattr(images, name) for name in FIELDS[1:]]
