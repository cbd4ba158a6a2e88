"""Stage `evaluate@<model>`: judge a trained model by judge B on test images."""

from __future__ import annotations

from dataclasses import replace

from genlib.files import file_sha256, write_json
from pipelines.stage import FEATURE_CACHE, PREPARED_DIR, REPORTING_CLASSIFIER, ROOT, TUNING_CLASSIFIER, Stage, run_stage


def evaluate(stage: Stage) -> None:
    """Judge one model and write runs/evaluate/<model>: metrics.json, values.json and figures."""
    from genlib.data.dataset import load_dataset
    from genlib.distributed.extract_features import feature_extractor
    from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics, flatten_results, summary_metrics
    from genlib.evaluation.runner import report_to_json
    from genlib.evaluation.verdicts import compute_verdicts
    from genlib.figures.contact_sheets import write_contact_sheets
    from genlib.figures.evaluation import write_figures
    from genlib.figures.latent import plot_resampled_classes
    from genlib.figures.translation import plot_translations
    from genlib.human.answers import read_answers
    from genlib.human.questions import WEIGHTS_ID_DIGITS
    from genlib.registry import load

    settings = stage.params.evaluate
    with stage.start_run() as run, feature_extractor(settings.workers) as look:
        dataset = load_dataset(PREPARED_DIR)
        second = Evaluator.from_folder(TUNING_CLASSIFIER, dataset, cache=FEATURE_CACHE, extract=look)
        bench = Evaluator.from_folder(
            REPORTING_CLASSIFIER, dataset, second_evaluator=second, cache=FEATURE_CACHE, extract=look
        )
        model = ROOT / "runs/train" / stage.model_name
        evidence = bench.test_inputs(load(model), settings.samples, settings.seed)
        way = next(iter(evidence))  # the images that `sample` makes, which are what people are shown
        answers = read_answers(ROOT / "data/ratings" / f"{stage.model_name}.csv")
        weights = file_sha256(model / "model.safetensors")[:WEIGHTS_ID_DIGITS]
        ratings = tuple(answer for answer in answers if answer.item.startswith(weights))
        evidence[way] = replace(evidence[way], ratings=ratings)
        measures = compute_applicable_metrics(evidence, settings.metrics)
        first, *both = evidence.values()
        figures = write_figures(first, measures, stage.out_dir / "figures")
        write_contact_sheets(first, stage.out_dir / "figures/sheets")
        if first.samples is not None and first.samples.labels is None and first.test.labels is not None:
            by_a = second.extractor(first.samples.images).probabilities
            figures.append(plot_resampled_classes(first, by_a, stage.out_dir / "figures/resampled.png"))
        if both:
            figures.append(plot_translations(evidence, stage.out_dir / "figures/translations.png"))
        card = stage.build_card(bench.card, model, first.n) | {"second_judge": second.card}
        write_json(report_to_json(measures, card), stage.out_dir / "metrics.json")
        values = {name: found.value for name, found in measures.items()}
        write_json(summary_metrics(values, settings.metrics), stage.out_dir / "values.json")
        run.log(flatten_results(measures), step=0)
        run.log_to_training_run(model, flatten_results(measures))
        for path in [*figures, stage.out_dir / "metrics.json"]:
            run.log_artifact(path, "evaluation")
    for name, found in measures.items():
        print(f"{stage.title}: {name} {found}")
    for verdict in compute_verdicts(measures):
        print(f"{stage.title}: {verdict}")


if __name__ == "__main__":
    run_stage("evaluate", evaluate, models=lambda params: list(params.models))
