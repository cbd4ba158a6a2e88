"""The inputs of metrics: features of images, and the order and number in which sets are compared."""

import pytest
import torch
from corner_images import CLASSES, TinyClassifier, corner_images, metric_inputs

from genlib.metrics.inputs import build_inputs, extract_features, stratified_order


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_what_a_judge_sees_does_not_depend_on_the_chunk(chunk):
    judge, some = TinyClassifier(), corner_images(50, 0)
    one, other = extract_features(judge, some), extract_features(judge, some, chunk_size=chunk)
    torch.testing.assert_close(one.features, other.features, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(one.probabilities, other.probabilities, rtol=1e-6, atol=1e-6)


def test_a_view_is_plain_and_the_judge_is_left_as_it_was():
    judge = TinyClassifier().train()
    view = extract_features(judge, corner_images(20, 0))
    assert judge.training and not view.features.requires_grad
    assert view.features.shape == (20, 7) and view.probabilities.shape == (20, CLASSES)
    assert view.features.dtype == view.probabilities.dtype == torch.float32
    torch.testing.assert_close(view.probabilities.sum(1), torch.ones(20))
    assert len(view[:5]) == 5 and view[torch.tensor([3])].images.labels.tolist() == [int(view.labels[3])]


def test_a_judge_without_a_head_is_asked_for_logits():
    some = corner_images(20, 0)
    one, two = extract_features(TinyClassifier(headed=True), some), extract_features(TinyClassifier(headed=False), some)
    torch.testing.assert_close(one.probabilities, two.probabilities)


def test_the_common_size_is_the_smallest():
    assert metric_inputs(n=120).n == 120
    assert metric_inputs(n=5000).n == 140
    e = metric_inputs()
    assert len(e.train) == 300 and len(e.valid) == 150 and len(e.test) == 140 and len(e.real) == e.n
    again = metric_inputs()
    torch.testing.assert_close(e.generated.pixels, again.generated.pixels)
    torch.testing.assert_close(e.test.pixels, again.test.pixels)


def test_null_puts_real_images_in_the_place_of_the_fakes():
    e = metric_inputs()
    null = e.with_real_samples()
    assert null.n == e.n and null.test is e.test
    torch.testing.assert_close(null.generated.pixels, e.valid.pixels[: e.n])


def test_views_are_taken_as_they_are():
    judge, sets = TinyClassifier(), [corner_images(size, seed) for seed, size in enumerate((300, 150, 140, 200))]
    views = [extract_features(judge, one) for one in sets[:3]]
    one, two = build_inputs(judge, *sets, 100, 0), build_inputs(judge, *views, sets[3], 100, 0)
    torch.testing.assert_close(one.test.features, two.test.features)


def test_every_prefix_of_the_test_set_has_the_class_mix_of_the_whole():
    labels = torch.tensor([0] * 700 + [1] * 200 + [2] * 100)
    order = stratified_order(labels, len(labels), seed=3)
    assert order.sort().values.tolist() == list(range(1000))
    for n in (50, 100, 500):
        counts = labels[order[:n]].bincount(minlength=3) / n
        torch.testing.assert_close(counts, torch.tensor([0.7, 0.2, 0.1]), atol=1.5 / n * 2, rtol=0)
    assert len(set(stratified_order(None, 10, 0).tolist())) == 10
