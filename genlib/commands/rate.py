"""`genlib rate`: ask people, on a page of this machine, which images are real, or which are the same picture."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from genlib import provenance
from genlib.data.dataset import Dataset, load_dataset
from genlib.data.images import Images
from genlib.errors import InputError
from genlib.evaluation.evaluator import draw_samples
from genlib.files import file_sha256
from genlib.human import app
from genlib.human.answers import Answer
from genlib.human.questions import CATCH_TAG, QUESTION_FORMS, WEIGHTS_ID_DIGITS, pair_id, same_different
from genlib.human.raters import usable_answers
from genlib.metrics.human import ASSUMED_RATER_STD, count_wrong, interval_half_width, rater_std
from genlib.metrics.inputs import shuffled_order, stratified_order
from genlib.registry import load
from genlib.runs import read_model_results
from genlib.tracking.mlflow import log_run

DEFAULT_COUNT = 50  # real images, and as many generated ones
RATER_COUNTS = (1, 5, 10, 30)


def rate(model: Path, data: Path, form: str, count: int | None, seed: int, port: int) -> None:
    """Ask people, on a page of this machine: real or fake?"""
    if not 0 <= port < 2**16:
        raise InputError(f"--port: got {port}, expected 0 (any that is free) to {2**16 - 1}")
    if form == "pair" and count is not None:
        raise InputError("--count: got it beside --same-different, expected one of them; `evaluate` chose the pairs")
    dataset, network, name = load_dataset(data), load(model), model.resolve().name
    weights_id = file_sha256(model / "model.safetensors")[:WEIGHTS_ID_DIGITS]
    if form == "pair":
        items = same_different(find_same_pairs(model, network, dataset), seed, weights_id)
    else:
        real, generated = draw_sets(model, network, dataset, DEFAULT_COUNT if count is None else count, seed)
        items = QUESTION_FORMS[form].build(real.pixels, generated.pixels, seed, weights_id)
    survey = app.Survey(QUESTION_FORMS[form], items, data.parent / "ratings" / f"{name}.csv", seed)

    def usable() -> list[Answer]:
        """The answers so far in this form about these weights."""
        answers = (answer for answer in survey.answers.values() if answer.item.startswith(weights_id))
        return usable_answers(answers, form)[0]

    if survey.form.error_metric:
        print(describe_precision(sum(CATCH_TAG not in item.name.split("-") for item in items), usable()))
    try:
        app.serve(survey, name, port)
    except OSError as error:
        raise InputError(f"--port: got that {port} cannot be opened ({error.strerror}), expected a free one") from error
    if answers := usable():
        numbers: dict[str, float] = {"answers": len(answers), "raters": len({answer.rater for answer in answers})}
        if survey.form.error_metric:
            numbers[survey.form.error_metric] = sum(answer.is_wrong for answer in answers) / len(answers)
        facts = {"stage": "rate", "model": name, "params_digest": "", "data_sha256": dataset.sha256}
        tags, params = provenance.tags(Path.cwd(), **facts), {"weights": weights_id, "form": form}
        texts = {survey.path.name: survey.path.read_text(encoding="utf-8")}
        log_run("rate", f"rate {name}", numbers, tags=tags, params=params, texts=texts)


def draw_sets(model: Path, network: nn.Module, dataset: Dataset, count: int, seed: int) -> tuple[Images, Images]:
    """`count` test images and as many generated ones."""
    target = dataset.domain_b if hasattr(network, "translate") else dataset  # `sample` of a translator gives domain B
    if target is None:
        raise InputError(f"{dataset.folder}: got one domain of images, expected two, for a model that translates")
    if not 1 <= count <= len(target.test):
        raise InputError(f"--count: got {count}, expected 1 to {len(target.test)}, the number of test images")
    generated = draw_samples(network, count, seed, dataset.train.labels)
    if generated is None:
        raise InputError(f"{model}: got a model that does not sample, expected a generator")
    real = target.test[stratified_order(target.test.labels, len(target.test), seed)[:count]]
    if generated.shape != real.shape:
        raise InputError(f"{dataset.folder}: got images of shape {real.shape}, expected {generated.shape} of the model")
    return real, generated


def find_same_pairs(model: Path, network: nn.Module, dataset: Dataset) -> dict[str, tuple[Tensor, Tensor]]:
    """By `pair_id`: the pairs that `support` found the same, of generated and of real images, drawn here again."""
    if hasattr(network, "translate"):
        raise InputError(f"{model}: got a translator, which has no pairs to ask about, expected a generator")
    evaluated = read_model_results(model.resolve().parents[1], model.resolve().name, with_tuning=False)
    fix = f"run evaluate@{evaluated.name}"
    if evaluated.card.get("model_sha256") != file_sha256(model / "model.safetensors"):
        raise InputError(f"{model}: got weights that were not evaluated, expected evaluated ones; {fix}")
    detail = evaluated.metrics["support"].detail if "support" in evaluated.metrics else {}
    n, eval_seed = evaluated.card["n"], evaluated.card["seed"]
    generated = draw_samples(network, n, eval_seed, dataset.train.labels)
    if generated is None or "asked" not in detail:
        raise InputError(f"{model}: got no pairs to ask about, expected a generator; {fix} with the metric support")
    sets = [
        (generated[shuffled_order(generated, eval_seed, "fake")], detail["asked"]),
        (dataset.valid[shuffled_order(dataset.valid, eval_seed, "valid")], detail["null"].get("asked", {})),
    ]
    pairs = {}
    for images, asked in sets:
        for name, (a, b) in asked.items():
            pairs[name] = images.pixels[a], images.pixels[b]
            if pair_id(*pairs[name]) != name:
                raise InputError(f"{model}: got other images than were evaluated; {fix} on this machine")
    if not pairs:
        raise InputError(f"{model}: got no two images that are the same, expected a model with such pairs")
    return pairs


def describe_precision(num_items: int, answers: Sequence[Answer]) -> str:
    """How precise the error rate will be, in one line, by the spread between raters of `answers` or an assumed one."""
    observed = rater_std(*count_wrong(answers))
    std, source = (ASSUMED_RATER_STD, "assumed") if observed is None else (observed, "so far")
    widths = (f"\u00b1{100 * interval_half_width(n, num_items, std):.0f} points by {n}" for n in RATER_COUNTS)
    precision = f"error rate within {', '.join(widths)} raters"
    return f"{num_items} answers each: {precision}, who differ by {100 * std:.0f} ({source})"
