"""A number that no stage made, as a run of its own: images from elsewhere that were judged, a survey, a benchmark."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlib import provenance
from genlib.tracking.courier import Courier
from genlib.tracking.journal import Journal


def single(
    experiment: str,
    name: str,
    metrics: Mapping[str, float],
    *,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    notes: Mapping[str, str],
) -> None:
    """Log it where runs are kept: at `MLFLOW_TRACKING_URI`, or in the project's mlflow.db; where there is neither,
    nothing is made. `notes` are files: name -> text."""
    home = provenance.main_worktree(Path.cwd())
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (home / "mlflow.db").exists():
        return
    journal = Journal(home / ".genlib" / "journal" / f"{experiment}-{os.getpid()}")
    run = journal.run("run", name=name, experiment=experiment, tags=tags, params=params)
    run.log(metrics, step=0)
    for file, text in {**notes, "requirements.txt": provenance.installed_requirements()}.items():
        run.note(file, text)
    run.end()
    if warning := Courier(home, journal.folder).close():
        print(f"{name}: {warning}", file=sys.stderr)
