"""Stage `train@<model>`: train one model with Ray Train and write its folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from genlib.files import file_sha256
from pipelines.stage import Stage, run

if TYPE_CHECKING:
    from pathlib import Path

    from genlib.training.fit import Job
    from genlib.training.loop import Progress


def train(stage: Stage) -> None:
    """Train one model and write runs/train/<model>."""
    train_job(stage, stage.kept(stage.job()), stage.out)
    shutil.rmtree(stage.state, ignore_errors=True)


def train_job(stage: Stage, job: Job, out: Path, part: str = "") -> None:
    """Train `job` to its end as a tracked run, going on where a killed one stopped, and write the folder `out`."""
    from genlib.distributed.train import launch
    from genlib.tracking.journal import Reporter
    from genlib.training.fit import save_model
    from genlib.training.gan_state import DIVERGED
    from genlib.training.loop import Diverged
    from genlib.training.state import set_aside
    from pipelines.console import Console

    passed = set_aside(job.state, job.mark) if job.state else []
    with stage.tracked(job.digest(), part) as tracked, Console(stage.title) as console:
        for line in passed:
            console.say(f"{stage.title}: {line}")
        report = Reporter(tracked.run)

        def hear(progress: Progress) -> None:
            report(progress)
            console.show(progress)
            tracked.courier.start()

        try:
            launch(job, stage.storage, stage.title.replace(" ", "-"), hear, console.say, halted=console.halted)
        except Diverged:
            tracked.run.tag({"genlib.health": DIVERGED})
            raise
        save_model(job, out)
        tracked.run.tag({"genlib.model_path": str(out), "genlib.model_sha256": file_sha256(out / "model.safetensors")})
        tracked.run.keep(out / "config.json")


if __name__ == "__main__":
    run("train", train, models=lambda params: list(params.models))
