"""`genlib rate`: ask people, on a page of this machine, which images are real and which a model made."""

from __future__ import annotations

from pathlib import Path

from genlib.errors import InputError


def rate(model: Path, data: Path, count: int, seed: int, port: int) -> None:
    """Ask people, on a page of this machine: real or fake?"""
    from genlib.build import file_sha256, load
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.evidence import stratified
    from genlib.evaluation.judgement import drawn
    from genlib.evaluation.parts.answers import MARK
    from genlib.report.rating import Survey, items, serve

    dataset, network = load_dataset(data), load(model)
    shown = dataset.other if hasattr(network, "translate") else dataset  # a translator's images are of the other domain
    if shown is None:
        raise InputError(f"{data}: found one domain of images, legal: two, for a model that translates")
    if not 1 <= count <= len(shown.test):
        raise InputError(f"--count: found {count}, legal: 1 to {len(shown.test)}, the test images there are")
    if not 0 <= port < 2**16:
        raise InputError(f"--port: found {port}, legal: 0 (any that is free) to {2**16 - 1}")
    made = drawn(network, count, seed, dataset.train.labels)
    if made is None:
        raise InputError(f"{model}: found a model that does not sample, legal: a generator")
    real = shown.test[stratified(shown.test.labels, len(shown.test), seed)[:count]]
    if made.shape != real.shape:
        raise InputError(f"{data}: found images of shape {real.shape}, legal: those of the model, {made.shape}")
    name = model.resolve().name
    mark = file_sha256(model / "model.safetensors")[:MARK]
    path = data.parent / "ratings" / f"{name}.csv"
    survey = Survey(items(real.pixels, made.pixels, seed, mark), path, seed)
    try:
        serve(survey, f"Real or fake? {name}", port)
    except OSError as error:
        raise InputError(f"--port: found that {port} cannot be opened ({error.strerror}), legal: a free one") from error
    _track(path, mark, name, dataset.sha256)


def _track(path: Path, mark: str, name: str, data_sha256: str) -> None:
    """What people have said so far of the weights whose hash begins with `mark`, as a run of this project."""
    from genlib.evaluation.human import attentive
    from genlib.evaluation.parts.answers import read_answers
    from genlib.tracking import provenance
    from genlib.tracking.single import single

    kept, _ = attentive([answer for answer in read_answers(path) if answer.item.startswith(mark)])
    asked = [answer for answer in kept if not answer.catches]
    if asked:
        wrong, raters = sum(answer.wrong for answer in asked), len({answer.rater for answer in asked})
        single(
            "rate",
            f"rate {name}",
            {"human_error_rate": wrong / len(asked), "answers": len(asked), "raters": raters},
            tags=provenance.tags(Path.cwd(), stage="rate", model=name, params_digest="", data_sha256=data_sha256),
            params={"weights": mark},
            notes={path.name: path.read_text(encoding="utf-8")},
        )
