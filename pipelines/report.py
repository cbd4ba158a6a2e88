"""Stage `report`: the page and the leaderboard, from the results of the other stages."""

from genlib.files import write_csv, write_text
from pipelines.repro_command import repro_command
from pipelines.stage import ROOT, Stage, run_stage

REPORTS = ROOT / "reports"


def report(stage: Stage) -> None:
    """Write reports/index.html and reports/leaderboard.csv."""
    from genlib.report.leaderboard import COLUMNS, iter_rows
    from genlib.report.page import Provenance, render_page
    from genlib.runs import read_results

    params = stage.params
    with stage.start_run() as run:
        results = read_results(ROOT, list(params.models), params.tune.models)
        write_csv(COLUMNS, iter_rows(results), REPORTS / "leaderboard.csv")
        command, second_metric = repro_command(ROOT), params.tune.second_metric
        origin = Provenance(stage.tags(), params.model_dump(), params.tune.metric, command, second_metric=second_metric)
        write_text(render_page(results, origin), REPORTS / "index.html")
        for name in ("leaderboard.csv", "index.html"):
            run.log_artifact(REPORTS / name)
    print(f"report: {len(results.models)} models on reports/index.html")


if __name__ == "__main__":
    run_stage("report", report)
