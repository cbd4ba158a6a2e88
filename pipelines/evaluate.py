"""Stage `evaluate@<model>`: evaluate a trained model on test images with the reporting classifier."""

from dataclasses import replace

from genlib.files import file_sha256, write_json
from pipelines.stage import FEATURE_CACHE, PREPARED_DIR, REPORTING_CLASSIFIER, ROOT, TUNING_CLASSIFIER, Stage, run_stage


def evaluate(stage: Stage) -> None:
    """Write runs/evaluate/<model>: metrics.json, values.json and figures."""
    from genlib.data.dataset import load_dataset
    from genlib.distributed.extract_features import feature_extractor
    from genlib.evaluation.evaluator import Evaluator, compute_applicable_metrics, flatten_results, summary_metrics
    from genlib.evaluation.runner import report_to_json
    from genlib.evaluation.verdicts import compute_verdicts
    from genlib.figures.evaluation import write_figures
    from genlib.human.answers import read_answers
    from genlib.human.questions import WEIGHTS_ID_DIGITS
    from genlib.registry import load

    params = stage.params.evaluate
    with stage.start_run() as run, feature_extractor(params.workers) as extract:
        dataset = load_dataset(PREPARED_DIR)
        second = Evaluator.from_folder(TUNING_CLASSIFIER, dataset, cache=FEATURE_CACHE, extract=extract)
        evaluator = Evaluator.from_folder(
            REPORTING_CLASSIFIER, dataset, second_evaluator=second, cache=FEATURE_CACHE, extract=extract
        )
        model = ROOT / "runs/train" / stage.model_name
        inputs = evaluator.test_inputs(load(model), params.samples, params.seed)
        direction, first = next(iter(inputs.items()))  # of the images that `sample` gives, which raters see
        weights_id = file_sha256(model / "model.safetensors")[:WEIGHTS_ID_DIGITS]
        answers = read_answers(ROOT / "data/ratings" / f"{stage.model_name}.csv")
        ratings = tuple(answer for answer in answers if answer.item.startswith(weights_id))
        inputs[direction] = replace(first, ratings=ratings)
        calibrations = evaluator.calibrate(inputs, params.metrics)
        results = compute_applicable_metrics(inputs, params.metrics, calibrations)
        verdicts = compute_verdicts(results, {suffix: each.planted for suffix, each in calibrations.items()})
        figures = write_figures(inputs, results, stage.out_dir / "figures")
        card = stage.build_card(evaluator.card, model, first.n) | {"second_judge": second.card}
        write_json(report_to_json(results, verdicts, card), stage.out_dir / "metrics.json")
        values = {name: result.value for name, result in results.items()}
        write_json(summary_metrics(values, params.metrics), stage.out_dir / "values.json")
        run.log(flatten_results(results), step=0)
        run.log_to_training_run(model, flatten_results(results))
        for path in [*figures, stage.out_dir / "metrics.json"]:
            run.log_artifact(path, "evaluation")
    for name, result in results.items():
        print(f"{stage.title}: {name} {result}")
    for verdict in verdicts:
        print(f"{stage.title}: {verdict}")


if __name__ == "__main__":
    run_stage("evaluate", evaluate, models=lambda params: list(params.models))
