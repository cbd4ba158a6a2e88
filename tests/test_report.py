"""The page and the leaderboard: they show what the stages left, all of it, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_tree import (
    KNOBS,
    MISSED,
    MODELS,
    SHORT,
    generated,
    report_tree,
    undefined,
    write,
    write_dataset,
    write_evaluation,
    write_train,
)

from genlib.errors import InputError
from genlib.evaluation.verdicts import compute_verdicts
from genlib.figures.evaluation import plot_metric_chart
from genlib.formatting import DASH, MINUS, format_interval, format_number
from genlib.metrics.questions import ALIKE, COPIED, REAL
from genlib.metrics.registry import metric_names
from genlib.metrics.result import MetricResult
from genlib.report.controls_table import build_control_rows
from genlib.report.curves import UnhealthySpan, plot_training_curves, unhealthy_spans
from genlib.report.embedded_images import EmbeddedImage, max_bytes_each, read_png, shrink_to
from genlib.report.leaderboard import COLUMNS, build_tables, iter_rows
from genlib.report.page import Provenance, render_page
from genlib.runs import ModelResults, Results, read_results

TAGS = {"genlib.commit": "c" * 40, "genlib.dirty": "true", "genlib.params_digest": "a" * 64}
ORIGIN = Provenance(TAGS, {"data": {"name": "digits"}}, "kid")


WAYS = [("kid_a2b", 1.0, 0.1), ("kid_b2a", 2.0, 0.2)]


class Tags(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_tree(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def html(tree: Path) -> str:
    return render_page(read_results(tree, MODELS, ["gan"]), ORIGIN)


def bare(root: Path, *models: str) -> Path:
    """A project in which these models were trained and nothing else was done."""
    write_dataset(root)
    for model in models:
        write_train(root, model, "images_seen\tloss\n")
    return root


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
        (REAL, ["vae", "gan", "gan+tuned"], ["density", "inception_score", "frechet"]),
        (COPIED, ["gan"], ["authenticity"]),
        (ALIKE, ["vae", "gan", "gan+tuned"], ["support", "coverage"]),
        ("Classes told?", ["classifier", "scorer"], ["accuracy"]),
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


def test_page_shows_every_model_with_its_pictures(html: str) -> None:
    for model in MODELS:
        assert f'<h2 id="model-{model}-title">{model}</h2>' in html
    alts = [str(image["alt"]) for image in Tags(html).all("img")]
    for model in ("vae", "gan"):
        for figure in ("Samples", "Nearest neighbours", "Closest pairs", "Metrics", "Gradient norm"):
            assert any(alt.startswith(f"{figure} of {model}") for alt in alts), (figure, model)
    assert any(alt.startswith("Discriminator is right of gan") for alt in alts)
    assert all(any(knob in alt for alt in alts) for knob in KNOBS)


def test_every_generator_gets_its_verdicts_and_the_figures_they_speak_of(tree: Path, html: str) -> None:
    tags = Tags(html)
    for model in read_results(tree, MODELS).models:
        told = compute_verdicts(model.metrics)
        assert len(told) == (3 if model.name in ("vae", "gan") else 0)
        assert (f'<a href="#model-{model.name}">' in html.split('id="run"')[0].split('id="verdicts"')[1]) == bool(told)
        for verdict in told:
            assert escape(verdict.sentence) in html
        links = {link["href"] for link in tags.all("a")}
        figures = {f"#model-{model.name}.{name}" for name in ("samples", "nearest_neighbours", "closest_pairs")}
        assert links >= figures if told else not links & figures


def test_a_verdict_links_to_no_figure_that_is_not_there(tmp_path: Path) -> None:
    bare(tmp_path, "vae")
    write_evaluation(tmp_path, "vae", generated(7.1), figures=("samples",))
    html = render_page(read_results(tmp_path, ["vae"]), ORIGIN)
    links = [link["href"] for link in Tags(html).all("a")]
    assert "#model-vae.samples" in links
    assert "#model-vae.nearest_neighbours" not in links


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
        *others, noise = found[metric].cells
        assert all(not cell.expected for cell in others)
        assert (noise.text, noise.interval, noise.expected, noise.failure) == ("1.03", "0.990 to 1.07", "lower", failed)
    section = html.split('<section id="controls"')[1].split("</section>")[0]
    assert section.count('class="missed"') == section.count('class="caught"') == 1


def test_a_page_of_images_that_nothing_here_made(tree: Path) -> None:
    """No training, no params, no judge with an accuracy: what is not there is not spoken of."""
    judge = {
        "extractor": "pca",
        "layer": "components[64]",
        "accuracy": None,
        "sha256": "b" * 64,
        "note": "No judge given.",
    }
    figures = {"samples": tree / "runs/evaluate/gan/figures/samples.png"}
    fakes = ModelResults(
        "fake", metrics={"kid": MetricResult(0.3, 0.2, 0.4, 0.0, 200)}, card={"judge": judge}, figures=figures
    )
    data = {"name": "birds", "counts": {"test": 200, "fake": 300}, "shape": [3, 32, 32]}
    html = render_page(Results(data, [fakes]), Provenance({}, {}, "", "genlib evaluate --real birds --fake made"))
    for text in (
        "genlib evaluate --real birds --fake made",
        "birds",
        "pca",
        "pca</em>. No judge given. Every",
        "200 test",
        "300 fake",
    ):
        assert text in html
    for text in ("make repro", "leaderboard.csv", "trained on", "Params digest", "Commit", "Data sha256", "None"):
        assert text not in html, text
    assert "Copied?" in html
    bare_results = Results({"name": "birds", "counts": {}}, [ModelResults("fake")])
    assert "birds" in render_page(bare_results, Provenance({}, {}, ""))


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


def test_page_says_what_was_run(html: str) -> None:
    for text in ("make repro", "c" * 40, "with uncommitted changes", "a" * 64, "d" * 64, "1,079 train", SHORT):
        assert text in html


def test_page_refers_to_nothing_outside_itself(html: str) -> None:
    links = [
        value or "" for _, tag in Tags(html).found for key, value in tag.items() if key in ("src", "href", "srcset")
    ]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "url(" not in html


def test_the_only_script_is_the_one_that_the_page_allows(tree: Path, html: str) -> None:
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in html
    without = render_page(read_results(tree, ["vae"]), ORIGIN)
    assert "<script" not in without
    assert "script-src" not in without


def test_a_sheet_stands_in_the_place_of_the_figure_that_it_shows_better(tree: Path, html: str) -> None:
    alts = [str(image["alt"]) for image in Tags(html).all("img")]
    [samples] = [alt for alt in alts if alt.startswith("Samples of gan")]
    assert samples.endswith(
        "A row each: the sample, the training images nearest to it, the other samples nearest to it."
    )
    figures = [figure for figure in Tags(html).all("figure") if "data-metadata" in figure]
    says = [json.loads(str(figure["data-metadata"])) for figure in figures]
    assert [(each["rows"], each["columns"]) for each in says] == [(20, 4), (2, 5), (2, 5)]
    assert "#model-gan.samples" in {link["href"] for link in Tags(html).all("a")}


def test_links_within_the_page_arrive(html: str) -> None:
    tags = Tags(html)
    names = [tag["id"] for _, tag in tags.found if "id" in tag]
    assert len(names) == len(set(names))
    assert {str(link["href"])[1:] for link in tags.all("a")} <= set(names)


def test_every_picture_has_words_and_every_table_a_caption(html: str) -> None:
    tags = Tags(html)
    assert tags.all("img")
    assert all((image.get("alt") or "").strip() for image in tags.all("img"))
    assert len(tags.all("caption")) == len(tags.all("table"))
    assert all("scope" in head for head in tags.all("th"))


def test_same_inputs_give_the_same_bytes(tree: Path, html: str) -> None:
    assert render_page(read_results(tree, MODELS, ["gan"]), ORIGIN) == html


def test_names_and_reasons_are_escaped(tmp_path: Path) -> None:
    bare(tmp_path, "<b>gan")
    write_evaluation(tmp_path, "<b>gan", {"support": undefined('<script>"&')}, figures=("samples",))
    html = render_page(read_results(tmp_path, ["<b>gan"]), ORIGIN)
    assert "<b>" not in html
    assert "<script>" not in html
    assert "&lt;b&gt;gan" in html


def test_stale_folders_are_not_seen(tree: Path) -> None:
    results = read_results(tree, ["classifier", "scorer", "gan"])
    assert {row["model"] for row in iter_rows(results)} == {"classifier", "scorer", "gan"}
    html = render_page(results, ORIGIN)
    assert 'id="model-gan"' in html
    assert 'id="model-vae"' not in html
    assert "<h3>Sweep</h3>" not in html


def test_what_a_model_lacks_is_not_shown(tmp_path: Path) -> None:
    results = read_results(bare(tmp_path, "vae"), ["vae", "gan"], ["gan"])
    html = render_page(results, ORIGIN)
    assert list(iter_rows(results)) == []
    assert "<img" not in html
    assert 'id="leaderboard"' not in html
    assert 'id="model-gan"' in html


def test_a_figure_that_is_new_is_shown_after_the_known_ones(tmp_path: Path) -> None:
    bare(tmp_path, "vae")
    write_evaluation(tmp_path, "vae", {}, figures=("interpolations", "samples"))
    html = render_page(read_results(tmp_path, ["vae"]), ORIGIN)
    assert html.index(">Samples</h3>") < html.index(">Interpolations</h3>")


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


def test_pictures_that_are_too_large_are_made_to_fit(tmp_path: Path) -> None:
    assert max_bytes_each([10, 20, 600, 700], budget=1000) == 485
    assert max_bytes_each([10, 20], budget=1000) == 1000
    noise = tmp_path / "noise.png"
    noisy(noise)
    png = noise.read_bytes()
    assert np.array_equal(pixels_of(shrink_to(png, len(png))), pixels_of(png))
    assert len(shrink_to(png, 20_000)) <= 20_000


def test_a_page_of_many_large_pictures_stays_under_5_mb(tmp_path: Path) -> None:
    bare(tmp_path, "vae")
    for i in range(8):
        noisy(tmp_path / f"runs/evaluate/vae/figures/figure_{i}.png")
    assert len(render_page(read_results(tmp_path, ["vae"]), ORIGIN)) < 5_000_000


def pixels_of(picture: bytes) -> Any:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def noisy(path: Path, side: int = 600) -> None:
    """A picture that does not compress."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, DASH),
        (0.99, "0.990"),
        (9.8, "9.80"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (0, "0.00"),
        (-0.5, MINUS + "0.500"),
    ],
)
def test_numbers_have_three_digits(value: Any, text: str) -> None:
    assert format_number(value) == text


def test_intervals_may_be_open() -> None:
    assert format_interval(1.0, 2.0) == "1.00 to 2.00"
    assert format_interval(1.0, None) == "at least 1.00"
    assert format_interval(None, None) == ""


def test_a_game_that_stands_badly_is_marked_and_said() -> None:
    columns = {
        "images_seen": [10.0, 20.0, 30.0, 40.0, 50.0],
        "d_real": [0.6, 1.0, 1.0, 0.6, None],
        "d_fake": [0.6, 1.0, 0.99, 0.6, None],
        "duplicate_rate": [None, None, 0.0, 0.0, 0.9],
    }
    assert unhealthy_spans(columns) == [UnhealthySpan(10, 30, "D wins"), UnhealthySpan(40, 50, "collapsed")]
    drawn = plot_training_curves("gan", columns, health=True)
    assert [picture.title for picture in drawn] == ["Discriminator is right", "Repertoire, in pixels"]
    assert all("From 10.0 to 30.0 images: D wins. From 40.0 to 50.0 images: collapsed." in p.alt for p in drawn)
    assert unhealthy_spans({"images_seen": [10.0], "loss": [0.1]}) == []
