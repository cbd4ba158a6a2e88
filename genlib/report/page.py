"""The page: one file that opens from disk, asks for nothing and says what every number was made of."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from genlib.evaluation.controls import CONTROL_LABELS
from genlib.evaluation.verdicts import Verdict, compute_verdicts
from genlib.formatting import display_name, format_number
from genlib.report import controls_table as planted
from genlib.report import leaderboard
from genlib.report.curves import plot_training_curves
from genlib.report.embedded_images import EmbeddedImage, max_bytes_each, read_png, to_data_uri, webp_sizes
from genlib.report.leaderboard import Cell, Table
from genlib.report.search_plots import search_plots
from genlib.report.trials_table import SearchCost, TrialRow, read_trials, search_cost
from genlib.runs import Comparison, ModelResults, Results

CLASSIFIER_ROLES = {
    "classifier": "Judge A: scores sweeps, on validation images.",
    "scorer": "Judge B: gives the reported numbers, on test images.",
}
CAPTIONS = {
    "samples": "The first images that were made, not picked by hand.",
    "nearest_neighbours": "Generated images, each beside the training images nearest to it: copies would show here.",
    "closest_pairs": "The generated images that are most alike: a small repertoire would show here.",
    "support_curve": "Of all pairs of images, the share that is nearer to each other than r: where the curve lies "
    "above that of real images, there are more twins than chance makes.",
    "translations": "Test images of each domain, below each its translation, and below that the translation back.",
    "classes": "Generated images of each class that the model was asked for, as they came.",
    "resampled": "A sampler that knows no classes, made to: its images drawn again with the weights p(y|x) of judge A; "
    "how many independent images each row's weights are worth, and how often judge B sees the class in it.",
    "reconstructions": "Test images, and below each the image that its code gives back.",
    "prior_and_mixture": "Codes of a standard normal are unlike those of images; codes of a fitted mixture are alike.",
    "interpolation": "From code to code in equal steps: a space of codes without gaps shows no ghosts on the way.",
    "posterior": "Classes of test images by judge B and by Bayes' rule from the model's p(x|y).",
    "confusion": "Test images by their class and the class they are given, by the model or by Bayes' rule from p(x|y).",
    "reliability": "How many images the model gets right, by how sure it is; each bin with its 95 % interval.",
    "metrics": "Each metric on its own scale; the band is what real images score. Struck through: the metric failed a "
    "control and is not to be believed.",
}
SHEET_TEXTS = {
    "neighbours": (
        "Samples",
        "The first images that were made, not picked by hand. Choose one to see what it may be a copy of, and which "
        "other samples are like it. Distances are the judge's; 1 is as far as the nearest training image lies from its "
        "own nearest one.",
        "A row each: the sample, the training images nearest to it, the other samples nearest to it.",
    ),
    "between": (
        "From code to code",
        "Ways from one code to another; move the slider to walk along all of them.",
        "A row each: the images on the way from one code to another, in equal steps.",
    ),
    "axes": (
        "One coordinate of the code",
        "One code, in each image another of its coordinates moved, those first that change the image the most. A "
        "spread is that of the codes of training images, or of the prior where the model does not encode.",
        "A row each: one coordinate of a code from low to high, in equal steps.",
    ),
}
REPLACED_BY_SHEET = {"samples": "neighbours", "interpolation": "between"}  # figures that a sheet shows better
WIDE_FIGURES = ("nearest_neighbours", "closest_pairs", "translations")
CHART_FIGURES = ("metrics", "support_curve")
DATASET_DEFAULTS = {"name": "", "source": "", "classes": (), "shape": (), "counts": {}, "sha256": ""}


@dataclass(frozen=True)
class Provenance:
    """What made the page: the tags of its run, the params, the two metrics that sweeps look at, and how to make it
    again."""

    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metric: str
    command: str = "make repro"
    second_metric: str = "coverage"


@dataclass(frozen=True)
class MetricChange:
    """One metric before and after tuning."""

    metric: str
    better: str
    default: Cell
    tuned: Cell
    baseline: Cell
    outcome: str


@dataclass(frozen=True)
class InteractiveSheet:
    """A sheet of images that the reader turns over; `says`: what its script needs to know, as JSON."""

    image: EmbeddedImage
    metadata_json: str


@dataclass(frozen=True)
class ModelSection:
    """One model on the page; each of `verdicts` with the picture that shows it, where there is one."""

    name: str
    anchor: str
    role: str
    facts: Mapping[str, str]
    verdicts: Sequence[tuple[Verdict, EmbeddedImage | None]]
    sheets: Sequence[InteractiveSheet]
    figures: Sequence[EmbeddedImage]
    loss_plots: Sequence[EmbeddedImage]
    health_plots: Sequence[EmbeddedImage]
    is_gan: bool
    trials: Sequence[TrialRow]
    cost: SearchCost | None
    search_plots: Sequence[EmbeddedImage]
    changes: Sequence[MetricChange]
    notes: Sequence[str]
    num_seeds: int
    config_json: str
    card_json: str

    @property
    def tuning_summary(self) -> str:
        """What tuning did, in a sentence."""
        outcomes = [change.outcome for change in self.changes]
        won, lost = (outcomes.count(f"{side} is better") for side in ("tuned", "default"))
        cost = f", for {self.cost.images} images of searching" if self.cost else ""
        return f"Tuned, {won} of {len(outcomes)} metrics are better and {lost} worse{cost}."

    @property
    def images(self) -> list[EmbeddedImage]:
        sheets = [sheet.image for sheet in self.sheets]
        return [
            *sheets,
            *self.figures,
            *self.loss_plots,
            *self.health_plots,
            *self.search_plots,
        ]


def render_page(results: Results, provenance: Provenance) -> str:
    """The whole page as HTML; the same results give the same bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    generators_first = sorted(results.models, key=lambda model: "samples" not in model.figures)
    sections = [_build_section(model, provenance) for model in generators_first]
    most = max_bytes_each(webp_sizes([picture for section in sections for picture in section.images]))
    room = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    room.filters |= {
        "uri": partial(to_data_uri, max_bytes=most),
        "label": display_name,
        "number": format_number,
        "json": _to_json,
    }
    tables, script = leaderboard.build_tables(results), Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    return room.get_template("page.html").render(
        data=DATASET_DEFAULTS | dict(results.dataset),
        provenance=provenance,
        classifier=_reporting_classifier(results),
        tables=tables,
        meanings=_metric_descriptions(tables),
        faults=list(CONTROL_LABELS.values()),
        controls=planted.build_control_rows(results.models),
        sections=sections,
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def _reporting_classifier(results: Results) -> dict[str, Any]:
    """Who gave the numbers, as the cards say; nothing where none were given."""
    cards = [model.card["judge"] for model in results.models if model.card.get("judge")]
    return dict.fromkeys(("extractor", "layer", "accuracy", "sha256", "note")) | cards[0] if cards else {}


def _metric_descriptions(tables: Sequence[Table]) -> dict[str, str]:
    names = dict.fromkeys(row.metric for table in tables for row in table.rows)
    return {name: text for name in names if (text := leaderboard.describe_metric(name))}


def _build_section(model: ModelResults, provenance: Provenance) -> ModelSection:
    changes, notes = _metric_changes(model.comparison) if model.comparison else ([], [])
    turned, pictures, sweep = _embed_sheets(model), _embed_figures(model), model.sweep
    seen = pictures | {"samples": turned["neighbours"].image} if "neighbours" in turned else pictures
    trials = read_trials(sweep, provenance.metric) if sweep else []
    return ModelSection(
        name=model.name,
        anchor=_make_anchor(model.name),
        role=CLASSIFIER_ROLES.get(model.name, ""),
        facts=_summary_facts(model),
        verdicts=[(verdict, seen.get(verdict.figure)) for verdict in compute_verdicts(model.metrics)],
        sheets=list(turned.values()),
        figures=list(pictures.values()),
        loss_plots=plot_training_curves(model.name, model.history, health=False),
        health_plots=plot_training_curves(model.name, model.history, health=True),
        is_gan="d_real" in model.history,
        trials=trials,
        cost=search_cost(sweep.trials) if sweep else None,
        search_plots=search_plots(model.name, trials, provenance.metric, provenance.second_metric),
        changes=changes,
        notes=notes,
        num_seeds=len(model.comparison.tuned_by_seed) if model.comparison else 0,
        config_json=_to_json(model.config),
        card_json=_to_json(model.card),
    )


def _summary_facts(model: ModelResults) -> dict[str, str]:
    """The line under a model's name."""
    config, train = model.config, model.config.get("train", {})
    found = {
        "model": config.get("model", {}).get("name"),
        "objective": config.get("objective", {}).get("name"),
        "images seen": f"{train['total_images']:,}" if "total_images" in train else None,
        "workers": train.get("workers") or None,
        "seed": train.get("seed"),
    }
    return {key: str(value) for key, value in found.items() if value is not None}


def _make_anchor(*names: str) -> str:
    """Where on the page a model is, or something of it."""
    return "model-" + ".".join(re.sub(r"[^a-zA-Z0-9_-]", "-", name) for name in names)


def _embed_figures(model: ModelResults) -> dict[str, EmbeddedImage]:
    """The evaluation's pictures by name, the known ones in the order of CAPTIONS."""
    shown = [
        name for name in model.figures if name not in REPLACED_BY_SHEET or REPLACED_BY_SHEET[name] not in model.sheets
    ]
    names = sorted(shown, key=lambda name: [*CAPTIONS, name].index(name))
    return {name: _embed_figure(model, name) for name in names}


def _embed_sheets(model: ModelResults) -> dict[str, InteractiveSheet]:
    """The sheets that the page knows how to turn over, in the order of SHEETS."""
    return {name: _embed_sheet(model, name) for name in SHEET_TEXTS if name in model.sheets}


def _embed_sheet(model: ModelResults, name: str) -> InteractiveSheet:
    title, caption, alt = SHEET_TEXTS[name]
    sheet = model.sheets[name]
    anchor = _make_anchor(model.name, "samples" if name == "neighbours" else name)
    words = f"{title} of {model.name}. {alt}"
    picture = EmbeddedImage(title, words, read_png(sheet.file), css_class=name, caption=caption, anchor=anchor)
    return InteractiveSheet(picture, json.dumps(sheet.metadata))


def _embed_figure(model: ModelResults, name: str) -> EmbeddedImage:
    caption = CAPTIONS.get(name, "")
    alt = f"{display_name(name).capitalize()} of {model.name}. {caption}".strip()
    if name == "metrics":
        alt = leaderboard.describe_results(model.name, model.metrics)
    kind = (
        "full chart"
        if name == "metrics"
        else "chart"
        if name in CHART_FIGURES
        else "wide"
        if name in WIDE_FIGURES
        else "photo"
    )
    content = read_png(model.figures[name])
    return EmbeddedImage(
        display_name(name).capitalize(),
        alt,
        content,
        css_class=kind,
        caption=caption,
        anchor=_make_anchor(model.name, name),
    )


def _metric_changes(comparison: Comparison) -> tuple[list[MetricChange], list[str]]:
    """What tuning changed, metric by metric, and the reasons for what has no value."""
    both = {name: found for name, found in comparison.default.items() if name in comparison.tuned}
    table = leaderboard.build_table({"default": both, "tuned": {name: comparison.tuned[name] for name in both}})
    changes = []
    for row in table.rows:
        default, tuned = row.cells
        outcome = leaderboard.compare_results(row.metric, both[row.metric], comparison.tuned[row.metric])
        changes.append(MetricChange(row.metric, row.better, default, tuned, row.baseline, outcome))
    return changes, table.notes


def _to_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) if content else ""
