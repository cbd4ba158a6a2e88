"""The words of the code: functions are verbs with their objects, and people find them by the terms of the field."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("genlib", "pipelines") for path in sorted((ROOT / folder).rglob("*.py"))]
IRREGULAR = re.compile(
    "begun|born|bought|broken|brought|built|caught|chosen|dealt|done|drawn|driven|fallen|felt|found|given|gone|grown|heard|held|"
    "hidden|kept|known|laid|lent|lost|made|meant|met|paid|risen|said|seen|sent|shown|sold|spent|spoken|struck|sunk|sworn|"
    "taken|taught|thought|thrown|told|understood|won|worn|written"
)
VERBS = {"seed", "need", "feed"}
# Terms of the field: a function may be called as what it computes.
TERMS = {"generated"}


def functions():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path.relative_to(ROOT), node.name


def is_participle(word):
    ends = word.endswith("ed") and "_" not in word and word not in VERBS
    return word not in TERMS and bool(IRREGULAR.fullmatch(word) or ends)


def test_no_function_is_named_by_a_lone_past_participle():
    found = [f"{path}: {name}" for path, name in functions() if is_participle(name.strip("_"))]
    assert not found, found


@pytest.mark.parametrize(
    ("term", "file"),
    [
        ("constraint", "genlib/metrics/constraints.py"),
        ("checkpoint", "genlib/training/checkpoints.py"),
        ("feature extractor", "genlib/evaluation/extractors/__init__.py"),
        ("near-duplicate", "genlib/metrics/support.py"),
        ("pareto", "genlib/tuning/objective.py"),
        ("publish", "genlib/tracking/mlflow.py"),
    ],
)
def test_a_term_of_the_field_leads_to_its_file(term, file):
    text = (ROOT / file).read_text(encoding="utf-8").lower()
    assert term in text or term.replace(" ", "_") in text


def test_no_file_is_long_and_no_function_either():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, (path, node.name)


def test_who_catches_everything_says_why():
    """The kind of fault: an error that nobody thought of disappears, or is taken for another."""
    for path in FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"except (Base)?Exception\b|except \(?Exception\b|suppress\(Exception\)|except:", line):
                assert "  # " in line, (path, line)
