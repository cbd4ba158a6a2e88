"""Run folders are read whole, and a file that no stage wrote is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from report_tree import MODELS, ORIGIN, report_tree, write

from genlib.errors import InputError
from genlib.report.leaderboard import iter_rows
from genlib.report.page import render_page
from genlib.runs import read_results


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data/prepared/dataset.json", "{"),
        ("runs/train/gan/config.json", "[]"),
        ("runs/train/gan/history.tsv", "images_seen\tloss\n100\tmany\n"),
        ("runs/train/gan/history.tsv", "images_seen\tloss\n100\n"),
        ("runs/evaluate/gan/metrics.json", '{"metrics": '),
        ("runs/evaluate/gan/metrics.json", '{"metrics": {"kid": 3}}'),
        ("runs/evaluate/gan/figures/closest_pairs.png", "no picture"),
        ("runs/evaluate/gan/figures/sheets/axes.json", '{"rows": 2}'),
        ("runs/evaluate/gan/figures/sheets/axes.json", '{"rows": 0, "columns": 2}'),
        ("runs/compare/gan/metrics.json", '{"metrics": {}}'),
        ("runs/tune/gan/trials.csv", "number,kid\n0,1\n"),
        ("runs/tune/gan/best.yaml", "- 1\n"),
    ],
)
def test_a_file_that_no_stage_wrote_is_named(tmp_path: Path, file: str, content: str) -> None:
    write(report_tree(tmp_path) / file, content)
    with pytest.raises(InputError, match=re.escape(file)):
        render_page(read_results(tmp_path, MODELS, ["gan"]), ORIGIN)


def test_data_that_were_never_prepared_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prepare"):
        read_results(tmp_path, MODELS)


def test_stale_folders_are_not_seen(tmp_path: Path) -> None:
    results = read_results(report_tree(tmp_path), ["classifier", "scorer", "gan"])
    assert {row["model"] for row in iter_rows(results)} == {"classifier", "scorer", "gan"}
    html = render_page(results, ORIGIN)
    assert 'id="model-gan"' in html
    assert 'id="model-vae"' not in html
    assert "<h3>Sweep</h3>" not in html
