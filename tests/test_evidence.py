"""Looking, gathering, and the pictures drawn from it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from genlib.data.images import Images
from genlib.evaluation.runner import compute_metrics
from genlib.figures.latent import plot_resampled_classes
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import build_inputs, extract_features, stratified_order
from genlib.metrics.registry import metric_names
from genlib.metrics.result import MetricResult
from genlib.registry import build

SHAPE, CLASSES = (1, 8, 8), 4


class Judge(nn.Module):
    """A tiny convolutional stand-in; `headed` lets its features and logits be read in one pass."""

    def __init__(self, shape=SHAPE, *, headed=True):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(shape[0], 6, 3), nn.Tanh(), nn.Flatten(), nn.LazyLinear(7), nn.Dropout())
        last = nn.Linear(7, CLASSES)
        self.body(torch.zeros(1, *shape))
        self.head = last if headed else None
        self.last = last

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.last(self.body(x))


def images(n, seed, shape=SHAPE):
    """Each class is bright in its own corner, so that labels can be told."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    pixels = torch.randint(0, 60, (n, *shape), generator=g)
    for c, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        pixels[labels == c, :, y : y + 4, x : x + 4] += 150
    return Images(pixels.to(torch.uint8), labels)


def gathered(n=120, **options):
    sets = [images(size, seed) for seed, size in enumerate((300, 150, 140, 200))]
    return build_inputs(Judge(), *sets, n, 0, **options)


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_what_a_judge_sees_does_not_depend_on_the_chunk(chunk):
    judge, some = Judge(), images(50, 0)
    one, other = extract_features(judge, some), extract_features(judge, some, chunk_size=chunk)
    torch.testing.assert_close(one.features, other.features, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(one.probabilities, other.probabilities, rtol=1e-6, atol=1e-6)


def test_a_view_is_plain_and_the_judge_is_left_as_it_was():
    judge = Judge().train()
    view = extract_features(judge, images(20, 0))
    assert judge.training and not view.features.requires_grad
    assert view.features.shape == (20, 7) and view.probabilities.shape == (20, CLASSES)
    assert view.features.dtype == view.probabilities.dtype == torch.float32
    torch.testing.assert_close(view.probabilities.sum(1), torch.ones(20))
    assert len(view[:5]) == 5 and view[torch.tensor([3])].images.labels.tolist() == [int(view.labels[3])]


def test_a_judge_without_a_head_is_asked_for_logits():
    some = images(20, 0)
    one, two = extract_features(Judge(headed=True), some), extract_features(Judge(headed=False), some)
    torch.testing.assert_close(one.probabilities, two.probabilities)


def test_the_common_size_is_the_smallest():
    assert gathered(n=120).n == 120
    assert gathered(n=5000).n == 140
    e = gathered()
    assert len(e.train) == 300 and len(e.valid) == 150 and len(e.test) == 140 and len(e.real) == e.n
    again = gathered()
    torch.testing.assert_close(e.generated.pixels, again.generated.pixels)
    torch.testing.assert_close(e.test.pixels, again.test.pixels)


def test_null_puts_real_images_in_the_place_of_the_fakes():
    e = gathered()
    null = e.with_real_samples()
    assert null.n == e.n and null.test is e.test
    torch.testing.assert_close(null.generated.pixels, e.valid.pixels[: e.n])


def test_views_are_taken_as_they_are():
    judge, sets = Judge(), [images(size, seed) for seed, size in enumerate((300, 150, 140, 200))]
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


def test_accuracy_is_of_the_model_on_all_test_images():
    model = Judge()
    sets = [images(size, seed) for seed, size in enumerate((300, 150, 140))]
    e = build_inputs(Judge(), *sets, None, 100, 0, model=model)
    found = compute_metrics(e, ["accuracy", "kid"])
    seen = extract_features(model, sets[2])
    assert found["accuracy"].value == float((seen.predicted_classes == sets[2].labels).double().mean())
    assert found["accuracy"].n == 140 and found["accuracy"].null is None
    assert found["accuracy"].low <= found["accuracy"].value <= found["accuracy"].high
    assert "reason" in found["accuracy"].detail["null"]
    assert found["kid"].detail["reason"] == "this model makes no images"
    assert compute_accuracy(e.test).n == 140


def test_accuracy_without_labels_or_classifier_gives_the_reason():
    bare = [Images(images(size, seed).pixels) for seed, size in enumerate((300, 150, 140, 200))]
    for model, reason in ((Judge(), "the data have no labels"), (object(), "this model does not classify")):
        assert (
            compute_metrics(build_inputs(Judge(), *bare, 100, 0, model=model), ["accuracy"])["accuracy"].detail[
                "reason"
            ]
            == reason
        )


def written(evidence, measures, folder):
    """Names of the figures written, each of which is whole."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    from genlib.figures.evaluation import write_figures

    paths = write_figures(evidence, measures, folder)
    assert sorted(paths) == sorted(folder.iterdir())
    for path in paths:
        assert min(imread(path).shape[:2]) > 150
    return {path.stem for path in paths}


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_are_written_whole(channels, tmp_path):
    shape = (channels, 8, 8)
    sets = [images(size, seed, shape) for seed, size in enumerate((300, 150, 140, 200))]
    asked = build_inputs(Judge(shape), *sets, 120, 0)
    usual = {"metrics", "samples", "nearest_neighbours", "closest_pairs", "support_curve"}
    assert written(asked, compute_metrics(asked, metric_names()), tmp_path / "asked") == {*usual, "classes"}
    plain = replace(asked, samples=replace(asked.fake, labels=None))
    assert written(plain, compute_metrics(plain, ["support"]), tmp_path / "plain") == usual
    assert (
        plot_resampled_classes(plain, plain.generated.probabilities, tmp_path / "resampled.png").stat().st_size > 5000
    )
    bare = replace(plain, test=replace(plain.test, labels=None))
    assert written(bare, compute_metrics(bare, ["support"]), tmp_path / "bare") == usual


@pytest.mark.parametrize(
    ("model", "figures"),
    [
        ({"name": "vae", "latent": 4, "pixel_likelihood": "binarized"}, {"reconstructions", "interpolation"}),
        (
            {"name": "cvae", "latent": 4, "pixel_likelihood": "gaussian"},
            {"reconstructions", "interpolation", "posterior"},
        ),
        ({"name": "autoencoder", "latent": 4}, {"reconstructions", "interpolation", "prior_and_mixture"}),
        ({"name": "gan", "latent": 4}, {"interpolation"}),
        ({"name": "cgan", "latent": 4}, {"interpolation"}),
        ({"name": "cnn_classifier"}, {"reliability"}),
    ],
)
def test_a_model_gets_the_figures_of_what_it_can_do(model, figures, tmp_path):
    sets = [images(size, seed) for seed, size in enumerate((300, 150, 140))]
    made = build("models", {**model, "width": 4}, SHAPE, CLASSES, where="model").eval()
    e = build_inputs(Judge(), *sets, None, 100, 0, model=made)
    measures = compute_metrics(e, ["ece"])
    assert written(e, measures, tmp_path / "figures") == {"metrics", *figures}


def test_the_chart_takes_what_has_no_value(tmp_path):
    pytest.importorskip("matplotlib")
    from genlib.figures.evaluation import write_figures

    e = build_inputs(Judge(), *[images(size, seed) for seed, size in enumerate((300, 150, 140))], None, 100, 0)
    measures = {
        "kid": MetricResult(detail={"reason": "none"}),
        "support": MetricResult(9.0, 9.0, n=5, detail={"more_than": True}),
    }
    assert [path.name for path in write_figures(e, measures, tmp_path)] == ["metrics.png"]
