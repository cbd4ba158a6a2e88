"""Figures of an evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genlib.figures.evaluation import plot_metric_chart
from genlib.metrics.registry import metric_names
from genlib.metrics.result import MetricResult
from genlib.report.embedded_images import EmbeddedImage, read_png


def test_the_chart_has_room_for_every_metric(tmp_path: Path) -> None:
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
