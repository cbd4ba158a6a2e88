"""The figures of an evaluation: each that the inputs allow, and no other, is written whole."""

from dataclasses import replace

import pytest
from corner_images import CLASSES, SHAPE, TinyClassifier, corner_images

from genlib.evaluation.runner import compute_metrics
from genlib.figures.evaluation import plot_metric_chart, write_figures
from genlib.metrics.inputs import build_inputs
from genlib.metrics.registry import metric_names
from genlib.metrics.result import MetricResult
from genlib.registry import build
from genlib.report.embedded_images import EmbeddedImage, read_png


def written(evidence, measures, folder):
    """Names of the figures written, each of which is whole."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    paths = write_figures({"": evidence}, measures, folder)
    assert sorted(paths) == sorted(folder.glob("*.png"))
    for path in paths:
        assert min(imread(path).shape[:2]) > 150
    return {path.stem for path in paths}


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_are_written_whole(channels, tmp_path):
    shape = (channels, 8, 8)
    sets = [corner_images(size, seed, shape) for seed, size in enumerate((300, 150, 140, 200))]
    asked = build_inputs(TinyClassifier(shape), *sets, 120, 0)
    usual = {"metrics", "samples", "nearest_neighbours", "closest_pairs", "support_curve"}
    assert written(asked, compute_metrics(asked, metric_names()), tmp_path / "asked") == {*usual, "classes"}
    plain = replace(asked, samples=replace(asked.samples, labels=None))
    assert written(plain, compute_metrics(plain, ["support"]), tmp_path / "plain") == usual
    twice = replace(plain, second_inputs=plain)
    assert written(twice, compute_metrics(plain, ["support"]), tmp_path / "twice") == {*usual, "resampled"}
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
    sets = [corner_images(size, seed) for seed, size in enumerate((300, 150, 140))]
    made = build("models", {**model, "width": 4}, SHAPE, CLASSES, where="model").eval()
    e = build_inputs(TinyClassifier(), *sets, None, 100, 0, model=made)
    measures = compute_metrics(e, ["ece"])
    assert written(e, measures, tmp_path / "figures") == {"metrics", *figures}


def test_the_chart_takes_what_has_no_value(tmp_path):
    pytest.importorskip("matplotlib")
    e = build_inputs(
        TinyClassifier(), *[corner_images(size, seed) for seed, size in enumerate((300, 150, 140))], None, 100, 0
    )
    measures = {
        "kid": MetricResult(detail={"reason": "none"}),
        "support": MetricResult(9.0, 9.0, n=5, detail={"more_than": True}),
    }
    assert [path.name for path in write_figures({"": e}, measures, tmp_path)] == ["metrics.png"]


def test_the_chart_has_room_for_every_metric(tmp_path):
    failed = {"controls": {"noise": {"failed": "noise get 1 and real images 1 at n = 100"}}}
    many = {name: MetricResult(0.5, 0.4, 0.6, 0.55, 100) for name in metric_names()}
    sizes = {}
    for name, measures in {
        "one": {"kid": many["kid"]},
        "doubted": {"kid": replace(many["kid"], detail=failed)},
        "many": many | {"own": MetricResult(detail={"reason": "no value " * 40})},
    }.items():
        content = read_png(plot_metric_chart(measures, tmp_path / f"{name}.png"))
        sizes[name] = EmbeddedImage(name, name, content).size
    assert sizes["one"][1] < sizes["doubted"][1] < sizes["many"][1]
    assert len({width for width, _ in sizes.values()}) == 1
