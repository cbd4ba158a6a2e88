"""The page: it shows what the stages left, all of it, and nothing else."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from report_tree import KNOBS, MODELS, ORIGIN, SHORT, VERDICTS, bare, generated, undefined, write_evaluation

from genlib.metrics.result import MetricResult
from genlib.report.leaderboard import iter_rows
from genlib.report.page import Provenance, render_page
from genlib.runs import ModelResults, Results, read_results


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


def test_page_shows_every_model_with_its_pictures(html: str) -> None:
    for model in MODELS:
        assert f'<h2 id="model-{model}-title">{model}</h2>' in html
    alts = [str(image["alt"]) for image in Tags(html).all("img")]
    for model in ("vae", "gan"):
        for figure in ("Samples", "Nearest neighbours", "Closest pairs", "Metrics", "Gradient norm"):
            assert any(alt.startswith(f"{figure} of {model}") for alt in alts), (figure, model)
    assert any(alt.startswith("Discriminator is right of gan") for alt in alts)
    assert all(any(knob in alt for alt in alts) for knob in KNOBS)


def test_medians_over_seeds_are_named(tree: Path, html: str) -> None:
    results, note = read_results(tree, MODELS), "Values of gan are medians over the seeds 3 to 5"
    models = [
        replace(each, card={**each.card, "seeds": [3, 4, 5]}) if each.name == "gan" else each for each in results.models
    ]
    assert note in render_page(replace(results, models=models), ORIGIN) and "are medians over" not in html


def test_every_generator_gets_its_verdicts_and_the_figures_they_speak_of(tree: Path, html: str) -> None:
    tags = Tags(html)
    for model in read_results(tree, MODELS).models:
        told = model.verdicts
        assert tuple(told) == (VERDICTS if model.name in ("vae", "gan") else ())
        assert (f'<a href="#model-{model.name}">' in html.split('id="run"')[0].split('id="verdicts"')[1]) == bool(told)
        for verdict in told:
            assert escape(verdict.sentence) in html
        links = {link["href"] for link in tags.all("a")}
        figures = {f"#model-{model.name}.{name}" for name in ("samples", "nearest_neighbours", "closest_pairs")}
        assert links >= figures if told else not links & figures


def test_a_verdict_links_to_no_figure_that_is_not_there(tmp_path: Path) -> None:
    bare(tmp_path, "vae")
    write_evaluation(tmp_path, "vae", generated(7.1), ("samples",), VERDICTS)
    html = render_page(read_results(tmp_path, ["vae"]), ORIGIN)
    links = [link["href"] for link in Tags(html).all("a")]
    assert "#model-vae.samples" in links
    assert "#model-vae.nearest_neighbours" not in links


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
        "fake",
        metrics={"kid": MetricResult(0.3, 0.2, 0.4, 0.0, 200)},
        verdicts=VERDICTS,
        card={"judge": judge},
        figures=figures,
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
    weak = {**judge, "extractor": "scorer", "accuracy": 0.648, "note": "It is right on 65 % of the test images."}
    html = render_page(Results(data, [replace(fakes, card={"judge": weak})]), Provenance({}, {}, ""))
    assert "<em>scorer</em>. It is right on 65 % of the test images. Every" in html
    assert "Original?" in html
    bare_results = Results({"name": "birds", "counts": {}}, [ModelResults("fake")])
    assert "birds" in render_page(bare_results, Provenance({}, {}, ""))
    params, command = {"data": {"root": "s3://u:s3cr3t@b?token=s3cr3t"}}, 'make repro SET="data.root=s3://u:s3cr3t@b"'
    shown = render_page(bare_results, Provenance({}, params, "", command))
    assert "s3://***@b" in shown and "s3cr3t" not in shown


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
