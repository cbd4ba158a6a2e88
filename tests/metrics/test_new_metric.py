"""A new metric is one file: the example of docs/guide.md in a copy of the project."""

from __future__ import annotations

import sys
from pathlib import Path

from documents import copied, example, run

FILE = "genlib/metrics/contrast.py"
USE = """
import torch
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import group_by_question, metric_names
from genlib.report.leaderboard import better_direction, describe_metric

assert "contrast" in metric_names() and better_direction("contrast") == "real"
assert group_by_question(["contrast", "kid"]) == {"Realistic?": ["kid", "contrast"]}
assert describe_metric("contrast").startswith("Mean standard deviation of an image's intensities")
images = FeatureSet(torch.randint(256, (60, 1, 4, 4), dtype=torch.uint8), None, torch.randn(60, 3), torch.ones(60, 1))
controls = {"real": images, "noise": images}
inputs = MetricInputs(images, images, images, images, 0, controls=controls)
found = compute_metrics(inputs, ["contrast"])["contrast"]
assert 0.2 < found.low < found.value == found.null < found.high < 0.5
assert found.failed_control.startswith("noise get")
"""


def test_a_metric_is_one_file(tmp_path: Path) -> None:
    project = copied(tmp_path)
    (project / FILE).write_text(example("guide.md", FILE))
    run(project, sys.executable, "-c", USE)
