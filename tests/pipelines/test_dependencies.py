"""dvc.yaml names all that decides what a stage writes, and nothing else: its lists follow from the imports."""

from pathlib import Path

import pytest
import yaml
from import_closure import import_closure

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Imported by a stage, and without influence on what it writes, with the reason.
NO_INFLUENCE = {
    "genlib/errors.py": "texts of errors",
    "genlib/files.py": "how files are written and checked",
    "genlib/formatting.py": "how numbers are printed",
    "genlib/migration.py": "old names, refused or renamed before anything is built",
    "genlib/params.py": "reads the params, whose values are dependencies",
    "genlib/progress.py": "bars",
    "genlib/provenance.py": "commit and versions",
    "genlib/runs.py": "reads what other stages wrote",
    "genlib/signals.py": "Ctrl-C",
    "genlib/tracking": "copies of what was written",
    "genlib/data/processes.py": "carries work to other processes",
    "genlib/distributed": "carries a job to its workers",
    "genlib/figures": "drawings: another colour evaluates nothing again",
    "pipelines/stage.py": "where files lie",
    "pipelines/console.py": "what is printed",
}
# What prepared the data is in their hash.
PREPARATION = [f"genlib/data/{name}.py" for name in ("catalog", "config", "resizing", "sources", "splits")]
MODEL_FILES = ["genlib/models/vae.py", "genlib/models/gan.py", "genlib/models/cnn_classifier.py"]
METRIC_FILES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "genlib/metrics").glob("*.py"))]
# Read by `genlib evaluate` alone.
ELSEWHERE = [f"genlib/data/{name}.py" for name in ("decoding", "folder_scan", "image_folder", "image_sets")]
# A stage: files that it reaches by a name in params.yaml or in an argument, and what it leaves to earlier stages.
REACHED: dict[str, tuple[list[str], list[str]]] = {
    "prepare": (["genlib/data/batches.py"], ["genlib/data/streaming.py", "genlib/data/raw.py", "pipelines/raw.py"]),
    "train": (
        ["genlib/training/fit.py", *MODEL_FILES, "genlib/objectives/elbo.py", "genlib/objectives/adversarial.py"],
        PREPARATION,
    ),
    "evaluate": ([*MODEL_FILES, *METRIC_FILES], [*PREPARATION, *ELSEWHERE, "genlib/training"]),
    "tune": (["genlib/training/fit.py", *METRIC_FILES], [*PREPARATION, *ELSEWHERE]),
    "compare": ([*MODEL_FILES, *METRIC_FILES], [*PREPARATION, *ELSEWHERE, "genlib/training"]),
    "report": ([], [*PREPARATION, "genlib/training", "genlib/data"]),
}


def dependencies(name):
    """Files and folders of code that the stage depends on."""
    stage = STAGES[name]
    return {each for each in stage.get("do", stage)["deps"] if each.startswith(("genlib/", "pipelines/"))}


def covers(dependency, file):
    """Whether a change of `file` is one of `dependency`, a file, a folder or the file of a model that params name."""
    if "${" in dependency:
        return file.startswith(dependency.partition("${")[0]) and file.count("/") == 2
    return file == dependency or file.startswith(f"{dependency}/")


@pytest.mark.parametrize("name", [name for name in STAGES if not STAGES[name].get("always_changed")])
def test_a_stage_depends_on_all_code_that_decides_what_it_writes_and_on_no_other(name):
    reached, earlier = REACHED[name]
    stop = {*NO_INFLUENCE, *earlier}
    needed = {
        file for file in import_closure([f"pipelines/{name}.py", *reached], stop) if not file.endswith("__init__.py")
    }
    listed = dependencies(name)
    missing = {file for file in needed if not any(covers(each, file) for each in listed)}
    needless = {each for each in listed if not any(covers(each, file) for file in needed)}
    assert not missing, sorted(missing)
    assert not needless, sorted(needless)


def test_what_is_said_to_have_no_influence_exists():
    assert all((ROOT / each).exists() for each in NO_INFLUENCE)
