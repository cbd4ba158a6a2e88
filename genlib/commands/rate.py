"""`genlib rate`: ask people, on a page of this machine, which images are real, or which are the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from genlib.data.dataset import Dataset
    from genlib.human.app import Survey
    from genlib.human.questions import RatingItem

DEFAULT_COUNT = 50  # real images, and as many generated ones
RATER_COUNTS = (1, 5, 10, 30)
ERROR_METRICS = {"one": "human_error_rate", "two": "human_choice_error"}  # what each form of a question measures


def rate(model: Path, data: Path, form: str, count: int | None, seed: int, port: int) -> None:
    """Ask people, on a page of this machine: real or fake?"""
    from genlib.data.dataset import load_dataset
    from genlib.human.app import QUESTION_FORMS, Survey, serve
    from genlib.registry import load

    if not 0 <= port < 2**16:
        raise InputError(f"--port: got {port}, expected 0 (any that is free) to {2**16 - 1}")
    if form == "pair" and count is not None:
        raise InputError("--count: got it beside --pairs, expected one of them; the stage `evaluate` chose the pairs")
    dataset, network = load_dataset(data), load(model)
    if form == "pair":
        trials = build_same_different(model, network, dataset, seed)
    else:
        trials = build_real_fake(model, network, dataset, form, DEFAULT_COUNT if count is None else count, seed)
    name = model.resolve().name
    survey = Survey(QUESTION_FORMS[form], trials, data.parent / "ratings" / f"{name}.csv", seed)
    if form in ERROR_METRICS:
        print(describe_precision(survey, form, read_weights_id(model)))
    try:
        serve(survey, name, port)
    except OSError as error:
        raise InputError(f"--port: got that {port} cannot be opened ({error.strerror}), expected a free one") from error
    _log_run(survey, form, name, read_weights_id(model), dataset.sha256)


def build_real_fake(
    model: Path, network: nn.Module, dataset: Dataset, form: str, count: int, seed: int
) -> Sequence[RatingItem]:
    """`count` test images and as many that the model makes, in a form of `trials`."""
    from genlib.evaluation.evaluator import draw_samples
    from genlib.human import questions as trials
    from genlib.metrics.inputs import stratified_order

    shown = (
        dataset.domain_b if hasattr(network, "translate") else dataset
    )  # a translator's images are of the other domain
    if shown is None:
        raise InputError(f"{dataset.folder}: got one domain of images, expected two, for a model that translates")
    if not 1 <= count <= len(shown.test):
        raise InputError(f"--count: got {count}, expected 1 to {len(shown.test)}, the test images there are")
    made = draw_samples(network, count, seed, dataset.train.labels)
    if made is None:
        raise InputError(f"{model}: got a model that does not sample, expected a generator")
    real = shown.test[stratified_order(shown.test.labels, len(shown.test), seed)[:count]]
    if made.shape != real.shape:
        raise InputError(
            f"{dataset.folder}: got images of shape {real.shape}, expected those of the model, {made.shape}"
        )
    found: Sequence[RatingItem] = getattr(trials, form)(real.pixels, made.pixels, seed, read_weights_id(model))
    return found


def build_same_different(model: Path, network: nn.Module, dataset: Dataset, seed: int) -> Sequence[RatingItem]:
    """The pairs of generated and of real images that `support` asks about, drawn again as the stage `evaluate` drew
    them."""
    from genlib.evaluation.evaluator import draw_samples
    from genlib.files import file_sha256
    from genlib.human.questions import same_different
    from genlib.human.raters import pair_id
    from genlib.metrics.inputs import shuffled_order
    from genlib.runs import read_model_results

    if hasattr(network, "translate"):
        raise InputError(f"{model}: got a translator, whose pairs nobody is asked about, expected a generator")
    judged = read_model_results(model.resolve().parents[1], model.resolve().name, with_tuning=False)
    mend = f"expected after evaluate@{judged.name}"
    if judged.card.get("model_sha256") != file_sha256(model / "model.safetensors"):
        raise InputError(f"{model}: found no numbers of these weights, {mend}")
    found = judged.metrics["support"].detail if "support" in judged.metrics else {}
    n, drawn_by = judged.card["n"], judged.card["seed"]
    made = draw_samples(network, n, drawn_by, dataset.train.labels)
    if made is None or "asked" not in found:
        raise InputError(f"{model}: found no pairs to ask about, {mend} of a generator with the metric support")
    sets = [
        (made[shuffled_order(made, drawn_by, "fake")], found["asked"]),
        (dataset.valid[shuffled_order(dataset.valid, drawn_by, "valid")], found["null"].get("asked", {})),
    ]
    pairs = {}
    for images, asked in sets:
        for name, (a, b) in asked.items():
            pairs[name] = images.pixels[a], images.pixels[b]
            if pair_id(*pairs[name]) != name:
                raise InputError(f"{model}: found other images than were evaluated, {mend} on this machine")
    if not pairs:
        raise InputError(f"{model}: got no two images that are the same, expected a model with such pairs")
    return same_different(pairs, seed, read_weights_id(model))


def describe_precision(survey: Survey, form: str, weights_id: str) -> str:
    """How near to the truth the error rate will come, in one line; by how raters differ so far, once that is known."""
    from genlib.human.answers import CATCH_TAG
    from genlib.human.raters import filter_attentive
    from genlib.metrics.human import ASSUMED_RATER_STD, count_wrong, interval_half_width, rater_std

    said = [answer for answer in survey.answers.values() if answer.item.startswith(weights_id) and answer.form == form]
    known = rater_std(*count_wrong([answer for answer in filter_attentive(said)[0] if not answer.is_catch]))
    differ = ASSUMED_RATER_STD if known is None else known
    asked = sum(CATCH_TAG not in trial.name.split("-") for trial in survey.items)
    points = ", ".join(
        f"\u00b1{100 * interval_half_width(raters, asked, differ):.0f} points by {raters}" for raters in RATER_COUNTS
    )
    source = "assumed" if known is None else "so far"
    return f"{asked} answers each: error rate within {points} raters, who differ by {100 * differ:.0f} ({source})"


def read_weights_id(model: Path) -> str:
    """What tells answers about these weights."""
    from genlib.files import file_sha256
    from genlib.human.answers import WEIGHTS_ID_DIGITS

    return file_sha256(model / "model.safetensors")[:WEIGHTS_ID_DIGITS]


def _log_run(survey: Survey, form: str, name: str, weights_id: str, data_sha256: str) -> None:
    """What people have said so far in this form of the weights whose hash begins with `mark`, as a run."""
    from genlib import provenance
    from genlib.human.raters import filter_attentive
    from genlib.tracking.mlflow import log_run

    said = [answer for answer in survey.answers.values() if answer.item.startswith(weights_id) and answer.form == form]
    asked = [answer for answer in filter_attentive(said)[0] if not answer.is_catch]
    if asked:
        numbers: dict[str, float] = {"answers": len(asked), "raters": len({answer.rater for answer in asked})}
        if form in ERROR_METRICS:
            numbers[ERROR_METRICS[form]] = sum(answer.is_wrong for answer in asked) / len(asked)
        log_run(
            "rate",
            f"rate {name}",
            numbers,
            tags=provenance.tags(Path.cwd(), stage="rate", model=name, params_digest="", data_sha256=data_sha256),
            params={"weights": weights_id, "form": form},
            texts={survey.path.name: survey.path.read_text(encoding="utf-8")},
        )
