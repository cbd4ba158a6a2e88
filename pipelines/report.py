"""Stage `report`: the page and the leaderboard, from what the other stages left behind."""

from __future__ import annotations

from genlib.files import write_csv, write_text
from pipelines.repro_command import command
from pipelines.stage import ROOT, Stage, run

REPORTS = ROOT / "reports"


def report(stage: Stage) -> None:
    """Write reports/index.html and reports/leaderboard.csv."""
    from genlib.report.leaderboard import COLUMNS, rows
    from genlib.report.page import Origin, page
    from genlib.runs import read_results

    params = stage.params
    with stage.tracked() as tracked:
        tracked.courier.start()
        results = read_results(ROOT, list(params.models), params.tune.models)
        write_csv(COLUMNS, rows(results), REPORTS / "leaderboard.csv")
        origin = Origin(
            stage.tags(), params.model_dump(), params.tune.metric, command(ROOT), diversity=params.tune.diversity
        )
        write_text(page(results, origin), REPORTS / "index.html")
        for name in ("leaderboard.csv", "index.html"):
            tracked.run.keep(REPORTS / name)
    print(f"report: {len(results.models)} models on reports/index.html")


if __name__ == "__main__":
    run("report", report)
