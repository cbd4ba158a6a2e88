"""The leaderboard: a row per model, seed and metric, and tables of models that share a metric."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from report_tree import MISSED, MODELS, SHORT

from genlib.metrics.registry import CONTROL_LABELS, DIVERSE, ORIGINAL, REALISTIC
from genlib.metrics.result import MetricResult
from genlib.report.leaderboard import COLUMNS, build_control_rows, build_tables, iter_rows
from genlib.runs import ModelResults, Results, read_results

WAYS = [("kid_a2b", 1.0, 0.1), ("kid_b2a", 2.0, 0.2)]


def test_leaderboard_has_its_columns_and_a_row_per_model_seed_and_metric(tree: Path) -> None:
    found = list(iter_rows(read_results(tree, MODELS, ["gan"])))
    assert COLUMNS == ("model", "seed", "metric", "value", "low", "high", "null", "n")
    assert all(tuple(row) == COLUMNS for row in found)
    keys = [(row["model"], str(row["seed"]), row["metric"]) for row in found]
    assert len(keys) == len(set(keys)) == 2 + 4 + 6 + 2 * 4
    assert {(model, seed) for model, seed, _ in keys} == {
        *((model, "3") for model in MODELS),
        ("gan+tuned", "3"),
        ("gan+tuned", "4"),
    }
    gan = next(row for row in found if row["model"] == "gan" and row["metric"] == "inception_score")
    assert (gan["value"], gan["low"], gan["high"], gan["null"], gan["n"]) == (8.3, 8.3 - 0.2, 8.3 + 0.2, 9.4, 359)


def test_leaderboard_leaves_what_is_undefined_empty(tree: Path, tmp_path: Path) -> None:
    from genlib.files import write_csv

    write_csv(COLUMNS, iter_rows(read_results(tree, MODELS, ["gan"])), tmp_path / "leaderboard.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text())))
    support = next(line for line in lines if line["metric"] == "support")
    assert [support[key] for key in ("value", "low", "high", "null")] == [""] * 4


def test_models_that_share_a_metric_share_a_table(tree: Path) -> None:
    found = build_tables(read_results(tree, MODELS, ["gan"]))
    assert [(table.question, table.models, [row.metric for row in table.rows]) for table in found] == [
        (REALISTIC, ["vae", "gan", "gan+tuned"], ["density", "inception_score", "frechet"]),
        (ORIGINAL, ["gan"], ["authenticity"]),
        (DIVERSE, ["vae", "gan", "gan+tuned"], ["support", "coverage"]),
        ("Classes recognised?", ["classifier", "scorer"], ["accuracy"]),
    ]
    assert found[2].notes == [SHORT]


def test_the_two_ways_of_a_translator_are_two_columns(tmp_path: Path) -> None:
    found = {name: MetricResult(value, value - 1, value + 1, null) for name, value, null in WAYS}
    results = Results(
        {"name": "digits"},
        [ModelResults("gan", metrics={"kid": MetricResult(3.0)}), ModelResults("cyclegan", metrics=found)],
    )
    assert [(table.models, [row.metric for row in table.rows]) for table in build_tables(results)] == [
        (["gan"], ["kid"]),
        (["cyclegan A to B", "cyclegan B to A"], ["kid"]),
    ]
    row = build_tables(results)[1].rows[0]
    assert [(cell.text, cell.baseline) for cell in row.cells] == [("1.00", "0.100"), ("2.00", "0.200")]
    assert not any(cell.is_best for cell in row.cells)
    assert [line["metric"] for line in iter_rows(results)] == ["kid", "kid_a2b", "kid_b2a"]


def test_a_metric_that_failed_a_control_is_struck_through_and_never_the_best(tree: Path, html: str) -> None:
    row = next(row for row in build_tables(read_results(tree, MODELS, ["gan"]))[0].rows if row.metric == "density")
    assert [cell.struck_through for cell in row.cells] == [False, True, False]
    assert not any(cell.is_best for cell in row.cells)
    assert '<s class="value">1.20</s><span class="quiet"> not to be believed</span>' in html
    assert f"density is not to be believed: {MISSED}" in html


def test_controls_are_shown_metric_by_metric(tree: Path, html: str) -> None:
    found = {line.metric: line for line in build_control_rows(read_results(tree, MODELS).models)}
    assert list(found) == ["density", "coverage"]
    for metric, failed in (("density", MISSED), ("coverage", "")):
        cells = dict(zip(CONTROL_LABELS, found[metric].cells, strict=True))
        noise = cells.pop("noise")
        assert not any(cell.expected for cell in cells.values())
        assert (noise.text, noise.interval, noise.expected, noise.failure) == ("1.03", "0.990 to 1.07", "lower", failed)
    section = html.split('<section id="controls"')[1].split("</section>")[0]
    assert section.count('class="missed"') == section.count('class="caught"') == 1
