"""The page of one evaluation of image sets."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from genlib.evaluation.image_sets import ImageSetEvaluation
from genlib.figures.evaluation import write_figures
from genlib.metrics.result import MetricResult
from genlib.report.page import Provenance, render_page
from genlib.runs import ModelResults, Results, read_sheets


def render_evaluation_page(evaluation: ImageSetEvaluation, results: Mapping[str, MetricResult], command: str) -> str:
    """`command` reproduces the page."""
    card = evaluation.card
    data = {
        "name": Path(card["data"]).name,
        "source": card["data"],
        "classes": list(evaluation.classes),
        "shape": card["shape"],
        "counts": card["counts"],
        "sha256": card["data_sha256"],
    }
    tags = {f"genlib.{key}": card[key] for key in ("commit", "dirty") if key in card}
    with TemporaryDirectory() as folder:
        figures = {path.stem: path for path in write_figures({"": evaluation.inputs}, results, Path(folder))}
        sheets = read_sheets(Path(folder) / "sheets")
        model = ModelResults("fake", metrics=results, card=card, figures=figures, sheets=sheets)
        return render_page(Results(data, [model]), Provenance(tags, {}, "", command))
