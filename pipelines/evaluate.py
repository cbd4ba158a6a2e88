"""Stage `evaluate@<model>`: judge a trained model by judge B on test images."""

from __future__ import annotations

from dataclasses import replace

from genlib.files import file_sha256, write_json
from pipelines.stage import JUDGE_A, JUDGE_B, PREPARED, ROOT, VIEWS, Stage, run


def evaluate(stage: Stage) -> None:
    """Judge one model and write runs/evaluate/<model>: metrics.json, values.json and figures."""
    from genlib.data.dataset import load_dataset
    from genlib.distributed.extract_features import looking
    from genlib.evaluation.evaluator import Bench, headlines, logged, measure
    from genlib.evaluation.verdicts import verdicts
    from genlib.figures.contact_sheets import write_sheets
    from genlib.figures.evaluation import write_figures
    from genlib.figures.latent import resampled
    from genlib.figures.translation import translations
    from genlib.human.answers import MARK, read_answers
    from genlib.metrics.result import to_json
    from genlib.registry import load

    settings = stage.params.evaluate
    with stage.tracked() as tracked, looking(settings.workers) as look:
        tracked.courier.start()
        dataset = load_dataset(PREPARED)
        second = Bench.of(JUDGE_A, dataset, cache=VIEWS, by=look)
        bench = Bench.of(JUDGE_B, dataset, second=second, cache=VIEWS, by=look)
        model = ROOT / "runs/train" / stage.model
        evidence = bench.evidence(load(model), settings.samples, settings.seed)
        way = next(iter(evidence))  # the images that `sample` makes, which are what people are shown
        answers = read_answers(ROOT / "data/ratings" / f"{stage.model}.csv")
        weights = file_sha256(model / "model.safetensors")[:MARK]
        ratings = tuple(answer for answer in answers if answer.item.startswith(weights))
        evidence[way] = replace(evidence[way], ratings=ratings)
        measures = measure(evidence, settings.metrics)
        first, *both = evidence.values()
        figures = write_figures(first, measures, stage.out / "figures")
        write_sheets(first, stage.out / "figures/sheets")
        if first.fake is not None and first.fake.labels is None and first.test.labels is not None:
            by_a = second.look(first.fake.images).probabilities
            figures.append(resampled(first, by_a, stage.out / "figures/resampled.png"))
        if both:
            figures.append(translations(evidence, stage.out / "figures/translations.png"))
        card = stage.card(bench.card, model, first.n) | {"second_judge": second.card}
        write_json(to_json(measures, card), stage.out / "metrics.json")
        values = {name: found.value for name, found in measures.items()}
        write_json(headlines(values, settings.metrics), stage.out / "values.json")
        tracked.run.log(logged(measures), step=0)
        tracked.credit(model, logged(measures))
        for path in [*figures, stage.out / "metrics.json"]:
            tracked.run.keep(path, "evaluation")
    for name, found in measures.items():
        print(f"{stage.title}: {name} {found}")
    for verdict in verdicts(measures):
        print(f"{stage.title}: {verdict}")


if __name__ == "__main__":
    run("evaluate", evaluate, models=lambda params: list(params.models))
