"""The table of controls."""

from __future__ import annotations

from pathlib import Path

from report_tree import MISSED, MODELS

from genlib.report.controls_table import build_control_rows
from genlib.runs import read_results


def test_controls_are_shown_metric_by_metric(tree: Path, html: str) -> None:
    found = {line.metric: line for line in build_control_rows(read_results(tree, MODELS).models)}
    assert list(found) == ["density", "coverage"]
    for metric, failed in (("density", MISSED), ("coverage", "")):
        *others, noise = found[metric].cells
        assert all(not cell.expected for cell in others)
        assert (noise.text, noise.interval, noise.expected, noise.failure) == ("1.03", "0.990 to 1.07", "lower", failed)
    section = html.split('<section id="controls"')[1].split("</section>")[0]
    assert section.count('class="missed"') == section.count('class="caught"') == 1
