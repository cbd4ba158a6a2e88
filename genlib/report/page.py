"""The report page: one self-contained HTML file with the origin of every number."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from genlib.errors import mask_secrets
from genlib.formatting import display_name, format_number
from genlib.metrics.differences import Difference, compare_results
from genlib.metrics.registry import CONTROL_LABELS
from genlib.report import leaderboard
from genlib.report.curves import plot_training_curves
from genlib.report.embedded_images import EmbeddedImage, read_png
from genlib.report.search_plots import read_trials, search_cost, search_plots
from genlib.runs import Comparison, ModelResults, Results

CLASSIFIER_ROLES = {
    "classifier": "The tuning classifier: scores sweeps, on validation images.",
    "scorer": "The reporting classifier: gives the reported numbers, on test images.",
}
MAX_FIGURES = 24  # of one model
DATASET_DEFAULTS = {"name": "", "source": "", "classes": (), "shape": (), "counts": {}, "sha256": ""}
CLASSIFIER_DEFAULTS = dict.fromkeys(("extractor", "layer", "accuracy", "sha256", "note"))


class Figure(NamedTuple):
    """A figure of the evaluation: its caption, and the class that the page's style knows it by."""

    caption: str = ""
    css_class: str = "photo"


class Sheet(NamedTuple):
    """A contact sheet that the page's script makes interactive; the page leaves out the figure that it `replaces`."""

    title: str
    caption: str
    rows: str
    replaces: str = ""


FIGURES = {  # in the order of the page
    "samples": Figure("The first generated images, not picked by hand."),
    "nearest_neighbours": Figure(
        "Generated images, each beside the training images nearest to it. Copies would show here.", "wide"
    ),
    "closest_pairs": Figure("The generated images that are most alike. A small repertoire would show here.", "wide"),
    "support_curve": Figure(
        "The share of all pairs of images that are nearer to each other than r. Where the curve lies above that of "
        "real images, there are more near-duplicates than chance makes.",
        "chart",
    ),
    "translations": Figure("Test images of each domain, below each its translation and the translation back.", "wide"),
    "classes": Figure("Generated images of each class that the model was asked for, as they came."),
    "resampled": Figure(
        "Images of an unconditional model, drawn again with the weights p(y|x) of the tuning classifier; how many "
        "independent images each row's weights are worth, and how often the reporting classifier sees the class in it."
    ),
    "reconstructions": Figure("Test images, and below each its reconstruction."),
    "prior_and_mixture": Figure(
        "Codes of a standard normal are unlike those of images; codes of a fitted mixture are alike."
    ),
    "interpolation": Figure("From code to code in equal steps. Without gaps between the codes no step is a blend."),
    "posterior": Figure(
        "Classes of test images by the reporting classifier, and by Bayes' rule from the model's p(x|y)."
    ),
    "confusion": Figure("Test images by their class and the class they are given, by the model or by Bayes' rule."),
    "reliability": Figure("The accuracy by the model's confidence; each bin with its 95 % interval."),
    "metrics": Figure(
        "Each metric on its own scale; the band is what real images score. Struck through: the metric failed a control "
        "and is not to be believed.",
        "full chart",
    ),
}
SHEETS = {
    "neighbours": Sheet(
        "Samples",
        "The first generated images, not picked by hand. Choose one to see what it may be a copy of, and which other "
        "samples are like it. Distances are in the classifier's features; 1 is as far as the nearest training image "
        "lies from its own nearest one.",
        "A row each: the sample, the training images nearest to it, the other samples nearest to it.",
        replaces="samples",
    ),
    "between": Sheet(
        "From code to code",
        "Ways from one code to another. Move the slider to walk along all of them.",
        "A row each: the images on the way from one code to another, in equal steps.",
        replaces="interpolation",
    ),
    "axes": Sheet(
        "One coordinate of the code",
        "One code; in each image another of its coordinates moves, those first that change the image the most. A "
        "spread is that of the codes of training images, or of the prior where the model does not encode.",
        "A row each: one coordinate of a code from low to high, in equal steps.",
    ),
}


class Provenance(NamedTuple):
    """The tags of the page's run, the params, the two metrics of sweeps, and the command that reproduces the page."""

    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metric: str
    command: str = "make repro"
    second_metric: str = "coverage"


def _to_json(value: Any) -> str:
    return mask_secrets(json.dumps(value, indent=2, ensure_ascii=False))


def render_page(results: Results, provenance: Provenance) -> str:
    """The whole page as HTML; the same results give the same bytes."""
    folder = Path(__file__).parent
    loader = FileSystemLoader(folder)
    environment = Environment(
        loader=loader, undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    provenance = provenance._replace(command=mask_secrets(provenance.command))
    environment.filters |= {"label": display_name, "number": format_number, "json": _to_json}
    generators_first = sorted(results.models, key=lambda model: "samples" not in model.figures)
    tables, script = leaderboard.build_tables(results), (folder / "page.js").read_text(encoding="utf-8")
    metrics = dict.fromkeys(row.metric for table in tables for row in table.rows)
    cards = [model.card["judge"] for model in results.models if model.card.get("judge")]
    return environment.get_template("page.html").render(
        data=DATASET_DEFAULTS | dict(results.dataset),
        provenance=provenance,
        classifier=CLASSIFIER_DEFAULTS | cards[0] if cards else {},
        tables=tables,
        meanings={name: text for name in metrics if (text := leaderboard.describe_metric(name))},
        roles=CLASSIFIER_ROLES,
        faults=list(CONTROL_LABELS.values()),
        controls=leaderboard.build_control_rows(results.models),
        sections=[_build_section(model, provenance) for model in generators_first],
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def _build_section(model: ModelResults, provenance: Provenance) -> dict[str, Any]:
    """What the page shows of one model, by the names that page.html knows it by."""
    sheets = {name: _embed_sheet(model, name) for name in SHEETS if name in model.sheets}
    figures = _embed_figures(model)
    images = figures | {SHEETS[name].replaces: image for name, image in sheets.items()}
    changes, notes = _metric_changes(model.comparison) if model.comparison else ([], [])
    trials = read_trials(model.sweep, provenance.metric) if model.sweep else []
    return {
        "model": model,
        "name": model.name,
        "anchor": _make_anchor(model.name),
        "facts": _training_facts(model),
        "verdicts": [(verdict, images.get(verdict.figure)) for verdict in model.verdicts],
        "sheets": list(sheets.values()),
        "figures": list(figures.values()),
        "loss_plots": plot_training_curves(model.name, model.history, health=False),
        "health_plots": plot_training_curves(model.name, model.history, health=True),
        "trials": trials,
        "cost": search_cost(model.sweep.trials) if model.sweep else None,
        "search_plots": search_plots(model.name, trials, provenance.metric, provenance.second_metric),
        "changes": changes,
        "notes": notes,
        "outcomes": [difference.outcome for _, difference in changes],
    }


def _training_facts(model: ModelResults) -> dict[str, str]:
    """The line under the model's name."""
    config, train = model.config, model.config.get("train", {})
    images = train.get("total_images")
    facts = {
        "model": config.get("model", {}).get("name"),
        "objective": config.get("objective", {}).get("name"),
        "images seen": None if images is None else f"{images:,}",
        "workers": train.get("workers") or None,
        "seed": model.seeds or None,
    }
    return {key: str(value) for key, value in facts.items() if value is not None}


def _make_anchor(*names: str) -> str:
    """The name of a model, or of a part of it, by which links find it."""
    return "model-" + ".".join(re.sub(r"[^a-zA-Z0-9_-]", "-", name) for name in names)


def _embed_figures(model: ModelResults) -> dict[str, EmbeddedImage]:
    """The evaluation's figures that no sheet replaces, by name; unknown ones come last."""
    replaced = {sheet.replaces for name, sheet in SHEETS.items() if name in model.sheets}
    names = sorted(model.figures.keys() - replaced, key=list({**FIGURES, **model.figures}).index)
    return {name: _embed_figure(model, name) for name in names[:MAX_FIGURES]}


def _embed_figure(model: ModelResults, name: str) -> EmbeddedImage:
    title, (caption, css_class) = display_name(name).capitalize(), FIGURES.get(name, Figure())
    alt = f"{title} of {model.name}. {caption}".strip()
    if name == "metrics":
        alt = leaderboard.describe_results(model.name, model.metrics)
    return EmbeddedImage(title, alt, read_png(model.figures[name]), css_class, caption, _make_anchor(model.name, name))


def _embed_sheet(model: ModelResults, name: str) -> EmbeddedImage:
    text, sheet = SHEETS[name], model.sheets[name]
    anchor = _make_anchor(model.name, "samples" if name == "neighbours" else name)
    alt = f"{text.title} of {model.name}. {text.rows}"
    return EmbeddedImage(text.title, alt, read_png(sheet.file), name, text.caption, anchor, json.dumps(sheet.metadata))


def _metric_changes(comparison: Comparison) -> tuple[list[tuple[leaderboard.Row, Difference]], list[str]]:
    """What tuning changed, metric by metric, and the reasons for what has no value."""
    shared = [name for name in comparison.default if name in comparison.tuned]
    default, tuned = ({name: side[name] for name in shared} for side in (comparison.default, comparison.tuned))
    table = leaderboard.build_table({"default": default, "tuned": tuned})
    differences = {name: compare_results(name, default[name], tuned[name]) for name in shared}
    return [(row, differences[row.metric]) for row in table.rows], table.notes
