"""A model that is evaluated with several training seeds: where each result lies, and what speaks for all."""

import json
from contextlib import contextmanager
from unittest.mock import MagicMock

import pytest

from genlib.metrics.result import MetricResult
from genlib.params import parse_params
from genlib.runs import read_model_results
from pipelines import evaluate, stage

VALUES = {0: 0.2, 1: 0.9, 2: 0.4}  # of kid, by seed


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """runs/evaluate/gan after an evaluation of as many seeds as asked, without any model."""

    def evaluate_seed(_stage, _evaluator, folder):
        value = VALUES[int(folder.name) if folder.parent.name == "seeds" else 0]
        results = {"kid": MetricResult(value, value - 0.1, value + 0.1, 0.0, 100)}
        return evaluate.SeedEvaluation(folder, {}, {}, results, {"model_sha256": folder.name})

    @contextmanager
    def start_run(*_):
        yield MagicMock()

    def run(seeds):
        entry = {"model": {"name": "gan"}, "objective": {"name": "adversarial"}, "train": {"seeds": seeds}}
        values = {"data": {"name": "digits"}, "models": {"gan": entry}, "evaluate": {"metrics": ["kid"]}}
        evaluate.evaluate(stage.Stage("evaluate", "gan", parse_params(values)))
        return tmp_path / "runs/evaluate/gan"

    for module in (stage, evaluate):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(stage.Stage, "start_run", start_run)
    monkeypatch.setattr(evaluate, "build_evaluator", lambda extract: None)
    monkeypatch.setattr(evaluate, "evaluate_seed", evaluate_seed)
    monkeypatch.setattr("genlib.figures.evaluation.write_figures", lambda *_: [])
    return run


def test_the_model_gets_the_median_and_each_seed_keeps_its_own(evaluated):
    out = evaluated(3)
    found = read_model_results(out.parents[1], "gan", with_tuning=False)
    assert found.metrics["kid"].value == 0.4 and found.seeds == "0 to 2"
    assert found.first_seed["kid"].value == VALUES[0] and found.card["model_sha256"] == "gan"
    assert json.loads((out / "values.json").read_text()) == {"kid": 0.4}
    for seed in (1, 2):
        content = json.loads((out / f"seeds/{seed}/metrics.json").read_text())
        assert content["metrics"]["kid"]["value"] == VALUES[seed]


def test_fewer_seeds_leave_none_of_those_before(evaluated):
    evaluated(3)
    out = evaluated(1)
    found = read_model_results(out.parents[1], "gan", with_tuning=False)
    assert found.metrics == found.first_seed and found.metrics["kid"].value == VALUES[0]
    assert list((out / "seeds").iterdir()) == []
