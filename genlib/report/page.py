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

from genlib.evaluation.controls import WORDS
from genlib.evaluation.verdicts import Verdict, verdicts
from genlib.formatting import label, number
from genlib.report import controls_table as planted
from genlib.report import leaderboard
from genlib.report.curves import curves
from genlib.report.embedded_images import Picture, all_sizes, ceiling, data_uri, read_png
from genlib.report.leaderboard import Cell, Table
from genlib.report.search_plots import search_plots
from genlib.report.trials_table import Cost, Trial, cost, knob_plots, read_trials
from genlib.runs import Comparison, ModelResults, Results

ROLES = {
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
SHEETS = {
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
SHOWN = {"samples": "neighbours", "interpolation": "between"}  # figures that a sheet shows better
WIDE = ("nearest_neighbours", "closest_pairs", "translations")
CHARTS = ("metrics", "support_curve")
DATASET = {"name": "", "source": "", "classes": (), "shape": (), "counts": {}, "sha256": ""}


@dataclass(frozen=True)
class Origin:
    """What made the page: the tags of its run, the params, the two metrics that sweeps look at, and how to make it
    again."""

    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metric: str
    command: str = "make repro"
    diversity: str = "coverage"


@dataclass(frozen=True)
class Change:
    """One metric before and after tuning."""

    metric: str
    better: str
    default: Cell
    tuned: Cell
    null: Cell
    outcome: str


@dataclass(frozen=True)
class Turned:
    """A sheet of images that the reader turns over; `says`: what its script needs to know, as JSON."""

    picture: Picture
    says: str


@dataclass(frozen=True)
class Section:
    """One model on the page; each of `verdicts` with the picture that shows it, where there is one."""

    name: str
    anchor: str
    role: str
    facts: Mapping[str, str]
    verdicts: Sequence[tuple[Verdict, Picture | None]]
    sheets: Sequence[Turned]
    figures: Sequence[Picture]
    losses: Sequence[Picture]
    health: Sequence[Picture]
    players: bool
    trials: Sequence[Trial]
    cost: Cost | None
    search: Sequence[Picture]
    knobs: Sequence[Picture]
    changes: Sequence[Change]
    notes: Sequence[str]
    seeds: int
    config: str
    card: str

    @property
    def bought(self) -> str:
        """What tuning did, in a sentence."""
        outcomes = [change.outcome for change in self.changes]
        won, lost = (outcomes.count(f"{side} is better") for side in ("tuned", "default"))
        cost = f", for {self.cost.images} images of searching" if self.cost else ""
        return f"Tuned, {won} of {len(outcomes)} metrics are better and {lost} worse{cost}."

    @property
    def pictures(self) -> list[Picture]:
        sheets = [sheet.picture for sheet in self.sheets]
        return [*sheets, *self.figures, *self.losses, *self.health, *self.search, *self.knobs]


def page(results: Results, origin: Origin) -> str:
    """The whole page as HTML; the same results give the same bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    generators_first = sorted(results.models, key=lambda model: "samples" not in model.figures)
    sections = [_section(model, origin) for model in generators_first]
    most = ceiling(all_sizes([picture for section in sections for picture in section.pictures]))
    room = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    room.filters |= {"uri": partial(data_uri, most=most), "label": label, "number": number, "json": _json}
    tables, script = leaderboard.tables(results), Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    return room.get_template("page.html").render(
        data=DATASET | dict(results.dataset),
        origin=origin,
        judge=_judge(results),
        tables=tables,
        meanings=_meanings(tables),
        faults=list(WORDS.values()),
        controls=planted.lines(results.models),
        sections=sections,
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def _judge(results: Results) -> dict[str, Any]:
    """Who gave the numbers, as the cards say; nothing where none were given."""
    cards = [model.card["judge"] for model in results.models if model.card.get("judge")]
    return dict.fromkeys(("extractor", "layer", "accuracy", "sha256", "note")) | cards[0] if cards else {}


def _meanings(tables: Sequence[Table]) -> dict[str, str]:
    names = dict.fromkeys(row.metric for table in tables for row in table.rows)
    return {name: text for name in names if (text := leaderboard.meaning(name))}


def _section(model: ModelResults, origin: Origin) -> Section:
    changes, notes = _changes(model.comparison) if model.comparison else ([], [])
    turned, pictures, sweep = _sheets(model), _figures(model), model.sweep
    seen = pictures | {"samples": turned["neighbours"].picture} if "neighbours" in turned else pictures
    trials = read_trials(sweep, origin.metric) if sweep else []
    return Section(
        name=model.name,
        anchor=_anchor(model.name),
        role=ROLES.get(model.name, ""),
        facts=_facts(model),
        verdicts=[(verdict, seen.get(verdict.figure)) for verdict in verdicts(model.measures)],
        sheets=list(turned.values()),
        figures=list(pictures.values()),
        losses=curves(model.name, model.history, health=False),
        health=curves(model.name, model.history, health=True),
        players="d_real" in model.history,
        trials=trials,
        cost=cost(sweep) if sweep else None,
        search=search_plots(model.name, trials, sweep.trials, origin.metric, origin.diversity) if sweep else [],
        knobs=knob_plots(model.name, sweep, origin.metric) if sweep else [],
        changes=changes,
        notes=notes,
        seeds=len(model.comparison.tuned_seeds) if model.comparison else 0,
        config=_json(model.config),
        card=_json(model.card),
    )


def _facts(model: ModelResults) -> dict[str, str]:
    """The line under a model's name."""
    config, train = model.config, model.config.get("train", {})
    found = {
        "model": config.get("model", {}).get("name"),
        "objective": config.get("objective", {}).get("name"),
        "images seen": f"{train['images']:,}" if "images" in train else None,
        "workers": train.get("workers") or None,
        "seed": train.get("seed"),
    }
    return {key: str(value) for key, value in found.items() if value is not None}


def _anchor(*names: str) -> str:
    """Where on the page a model is, or something of it."""
    return "model-" + ".".join(re.sub(r"[^a-zA-Z0-9_-]", "-", name) for name in names)


def _figures(model: ModelResults) -> dict[str, Picture]:
    """The evaluation's pictures by name, the known ones in the order of CAPTIONS."""
    shown = [name for name in model.figures if name not in SHOWN or SHOWN[name] not in model.sheets]
    names = sorted(shown, key=lambda name: [*CAPTIONS, name].index(name))
    return {name: _figure(model, name) for name in names}


def _sheets(model: ModelResults) -> dict[str, Turned]:
    """The sheets that the page knows how to turn over, in the order of SHEETS."""
    return {name: _turned(model, name) for name in SHEETS if name in model.sheets}


def _turned(model: ModelResults, name: str) -> Turned:
    title, caption, alt = SHEETS[name]
    sheet = model.sheets[name]
    anchor = _anchor(model.name, "samples" if name == "neighbours" else name)
    words = f"{title} of {model.name}. {alt}"
    picture = Picture(title, words, read_png(sheet.file), kind=name, caption=caption, anchor=anchor)
    return Turned(picture, json.dumps(sheet.says))


def _figure(model: ModelResults, name: str) -> Picture:
    caption = CAPTIONS.get(name, "")
    alt = f"{label(name).capitalize()} of {model.name}. {caption}".strip()
    if name == "metrics":
        alt = leaderboard.described(model.name, model.measures)
    kind = "full chart" if name == "metrics" else "chart" if name in CHARTS else "wide" if name in WIDE else "photo"
    content = read_png(model.figures[name])
    return Picture(label(name).capitalize(), alt, content, kind=kind, caption=caption, anchor=_anchor(model.name, name))


def _changes(comparison: Comparison) -> tuple[list[Change], list[str]]:
    """What tuning changed, metric by metric, and the reasons for what has no value."""
    both = {name: found for name, found in comparison.default.items() if name in comparison.tuned}
    table = leaderboard.table({"default": both, "tuned": {name: comparison.tuned[name] for name in both}})
    changes = []
    for row in table.rows:
        default, tuned = row.cells
        outcome = leaderboard.outcome(row.metric, both[row.metric], comparison.tuned[row.metric])
        changes.append(Change(row.metric, row.better, default, tuned, row.null, outcome))
    return changes, table.notes


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) if content else ""
