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
    from genlib.human.questions import Trial

COUNT = 50  # real images, and as many generated ones
RATERS = (1, 5, 10, 30)
ERRORS = {"one": "human_error_rate", "two": "human_choice_error"}  # what each form of a question measures


def rate(model: Path, data: Path, form: str, count: int | None, seed: int, port: int) -> None:
    """Ask people, on a page of this machine: real or fake?"""
    from genlib.data.dataset import load_dataset
    from genlib.human.app import FORMS, Survey, serve
    from genlib.registry import load

    if not 0 <= port < 2**16:
        raise InputError(f"--port: found {port}, legal: 0 (any that is free) to {2**16 - 1}")
    if form == "pair" and count is not None:
        raise InputError("--count: found it beside --pairs, legal: one of them; the stage `evaluate` chose the pairs")
    dataset, network = load_dataset(data), load(model)
    if form == "pair":
        trials = to_confirm(model, network, dataset, seed)
    else:
        trials = to_tell(model, network, dataset, form, COUNT if count is None else count, seed)
    name = model.resolve().name
    survey = Survey(FORMS[form], trials, data.parent / "ratings" / f"{name}.csv", seed)
    if form in ERRORS:
        print(power(survey, form, marked(model)))
    try:
        serve(survey, name, port)
    except OSError as error:
        raise InputError(f"--port: found that {port} cannot be opened ({error.strerror}), legal: a free one") from error
    _track(survey, form, name, marked(model), dataset.sha256)


def to_tell(model: Path, network: nn.Module, dataset: Dataset, form: str, count: int, seed: int) -> Sequence[Trial]:
    """`count` test images and as many that the model makes, in a form of `trials`."""
    from genlib.evaluation.evaluator import drawn
    from genlib.human import questions as trials
    from genlib.metrics.inputs import stratified

    shown = dataset.other if hasattr(network, "translate") else dataset  # a translator's images are of the other domain
    if shown is None:
        raise InputError(f"{dataset.folder}: found one domain of images, legal: two, for a model that translates")
    if not 1 <= count <= len(shown.test):
        raise InputError(f"--count: found {count}, legal: 1 to {len(shown.test)}, the test images there are")
    made = drawn(network, count, seed, dataset.train.labels)
    if made is None:
        raise InputError(f"{model}: found a model that does not sample, legal: a generator")
    real = shown.test[stratified(shown.test.labels, len(shown.test), seed)[:count]]
    if made.shape != real.shape:
        raise InputError(
            f"{dataset.folder}: found images of shape {real.shape}, legal: those of the model, {made.shape}"
        )
    found: Sequence[Trial] = getattr(trials, form)(real.pixels, made.pixels, seed, marked(model))
    return found


def to_confirm(model: Path, network: nn.Module, dataset: Dataset, seed: int) -> Sequence[Trial]:
    """The pairs of generated and of real images that `support` asks about, drawn again as the stage `evaluate` drew
    them."""
    from genlib.evaluation.evaluator import drawn
    from genlib.files import file_sha256
    from genlib.human.questions import pair
    from genlib.human.raters import pair_name
    from genlib.metrics.inputs import order
    from genlib.runs import read_model

    if hasattr(network, "translate"):
        raise InputError(f"{model}: found a translator, whose pairs nobody is asked about, legal: a generator")
    judged = read_model(model.resolve().parents[1], model.resolve().name, tuned=False)
    mend = f"legal: after evaluate@{judged.name}"
    if judged.card.get("model_sha256") != file_sha256(model / "model.safetensors"):
        raise InputError(f"{model}: found no numbers of these weights, {mend}")
    found = judged.measures["support"].detail if "support" in judged.measures else {}
    n, drawn_by = judged.card["n"], judged.card["seed"]
    made = drawn(network, n, drawn_by, dataset.train.labels)
    if made is None or "asked" not in found:
        raise InputError(f"{model}: found no pairs to ask about, {mend} of a generator with the metric support")
    sets = [
        (made[order(made, drawn_by, "fake")], found["asked"]),
        (dataset.valid[order(dataset.valid, drawn_by, "valid")], found["null"].get("asked", {})),
    ]
    pairs = {}
    for images, asked in sets:
        for name, (a, b) in asked.items():
            pairs[name] = images.pixels[a], images.pixels[b]
            if pair_name(*pairs[name]) != name:
                raise InputError(f"{model}: found other images than were evaluated, {mend} on this machine")
    if not pairs:
        raise InputError(f"{model}: found no two images that are the same, legal: a model with such pairs")
    return pair(pairs, seed, marked(model))


def power(survey: Survey, form: str, mark: str) -> str:
    """How near to the truth the error rate will come, in one line; by how raters differ so far, once that is known."""
    from genlib.human.answers import CATCH
    from genlib.human.raters import attentive
    from genlib.metrics.human import ASSUMED, half_width, spread, tallied

    said = [answer for answer in survey.said.values() if answer.item.startswith(mark) and answer.form == form]
    known = spread(*tallied([answer for answer in attentive(said)[0] if not answer.catches]))
    differ = ASSUMED if known is None else known
    asked = sum(CATCH not in trial.name.split("-") for trial in survey.trials)
    points = ", ".join(f"\u00b1{100 * half_width(raters, asked, differ):.0f} points by {raters}" for raters in RATERS)
    source = "assumed" if known is None else "so far"
    return f"{asked} answers each: error rate within {points} raters, who differ by {100 * differ:.0f} ({source})"


def marked(model: Path) -> str:
    """What tells answers about these weights."""
    from genlib.files import file_sha256
    from genlib.human.answers import MARK

    return file_sha256(model / "model.safetensors")[:MARK]


def _track(survey: Survey, form: str, name: str, mark: str, data_sha256: str) -> None:
    """What people have said so far in this form of the weights whose hash begins with `mark`, as a run."""
    from genlib import provenance
    from genlib.human.raters import attentive
    from genlib.tracking.single import single

    said = [answer for answer in survey.said.values() if answer.item.startswith(mark) and answer.form == form]
    asked = [answer for answer in attentive(said)[0] if not answer.catches]
    if asked:
        numbers: dict[str, float] = {"answers": len(asked), "raters": len({answer.rater for answer in asked})}
        if form in ERRORS:
            numbers[ERRORS[form]] = sum(answer.wrong for answer in asked) / len(asked)
        single(
            "rate",
            f"rate {name}",
            numbers,
            tags=provenance.tags(Path.cwd(), stage="rate", model=name, params_digest="", data_sha256=data_sha256),
            params={"weights": mark, "form": form},
            notes={survey.path.name: survey.path.read_text(encoding="utf-8")},
        )
