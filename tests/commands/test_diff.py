"""`genlib diff`: what changed, by the difference on the same images."""

import json

import pytest
from evaluated_models import models as models
from PIL import Image
from refusals import refusal
from report_tree import report_tree

from genlib.cli import main
from genlib.commands import diff


def test_a_difference_is_told_only_where_its_interval_leaves_out_0(tmp_path, monkeypatch, capsys):
    _, b = report_tree(tmp_path / "a"), report_tree(tmp_path / "b")
    path = b / "runs/evaluate/gan/metrics.json"
    content = json.loads(path.read_text())
    content["metrics"]["frechet"] |= {"value": 2.0, "low": 1.5, "high": 2.5}
    content["metrics"]["inception_score"] |= {"value": 8.35, "low": 8.1, "high": 8.5}
    path.write_text(json.dumps(content))
    config = b / "runs/train/gan/config.json"
    config.write_text(config.read_text().replace('"seed": 3', '"seed": 4'))
    monkeypatch.chdir(tmp_path)
    assert main(["diff", "a", "b", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["params"] == {"gan.train.seed": [3, 4]}
    told = {(each["model"], each["metric"]): each["outcome"] for each in facts["metrics"]}
    assert told["gan", "frechet"] == "better" and told["gan", "inception_score"] == "cannot tell"
    assert told["gan", "density"] == "cannot tell"
    with Image.open("reports/diff.png") as picture:
        assert picture.size[0] > 100
    assert main(["diff", "b", "a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "gan.train.seed: 4 -> 3"
    [frechet] = (line for line in lines if line.startswith("gan frechet"))
    assert frechet.startswith("gan frechet: worse: 2 [1.5, 2.5] -> 4.2 [3.7, 4.7], +2.2 [+1.493, +2.907], p ")
    assert any(line.startswith("gan: of ") and "1 worse" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": 500}, "another number of images"),
        ({"data_sha256": "e" * 64}, "other data"),
        ({"judge": {"sha256": "f" * 64}, "data_sha256": "e" * 64}, "other data and another classifier"),
    ],
)
def test_what_was_evaluated_on_other_grounds_is_not_compared(tmp_path, change, reason):
    a, b = report_tree(tmp_path / "a"), report_tree(tmp_path / "b")
    path = b / "runs/evaluate/gan/metrics.json"
    content = json.loads(path.read_text())
    content["card"] |= change
    path.write_text(json.dumps(content))
    found = diff.compare_runs(*(diff.read_folder(root) for root in (a, b)))
    assert f"gan: {reason} on each side, so its numbers do not compare" in found.notes
    assert {each.outcome for each in found.metric_diffs if each.model == "gan"} == {"cannot tell"}


def test_what_dvc_says_of_two_revisions_is_read_and_told_in_order(monkeypatch):
    def said(kind, *_):
        value = {"old": 3.0, "new": 1.0}
        ends = {"low": {"old": 2.9, "new": 0.9}, "high": {"old": 3.1, "new": 1.1}, "n": {"old": 9, "new": 9}}
        parts = {"value": value, **ends}
        found = {f"metrics.{name}.{part}": each for name in ("kid", "frechet") for part, each in parts.items()}
        if kind == "metrics":
            files = {f"runs/evaluate/{model}/metrics.json": found for model in ("vae", "gan")}
            return files | {"runs/compare/gan/metrics.json": {"x": value}}
        return {"params.yaml": {"train.seed": {"old": 0, "new": 1}}}

    monkeypatch.setattr(diff, "_run_dvc_diff", said)
    found = diff.compare_runs(*diff.read_sides("main", "workspace"))
    assert found.params == {"train.seed": (0, 1)}
    names = ("gan frechet", "gan kid", "vae frechet", "vae kid")
    told = (str(each).partition(", -2 [-2.141, -1.859]")[0] for each in found.metric_diffs)
    assert list(told) == [f"{name}: better: 3 [2.9, 3.1] -> 1 [0.9, 1.1]" for name in names]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["diff", "runs", "nowhere"], "nowhere: got no such folder"),
        (["diff", "data", "data"], "data: got no runs/train"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(models, monkeypatch, capsys, arguments, found):
    monkeypatch.chdir(models)
    (models / "data").mkdir(exist_ok=True)
    assert found in refusal(capsys, arguments)
