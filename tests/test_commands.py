"""What `genlib` draws, compares, keeps and mends: files as asked, and one line for what is wrong."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from evaluated_models import models as models
from PIL import Image
from report_tree import report_tree

from genlib.cli import COMMANDS, GROUPS, build_parser, main
from genlib.commands import diff, doctor
from genlib.commands.sample import parse_labels
from genlib.latent import sample_truncated_normal


def test_a_grid_files_and_an_array_hold_the_same_images(models, tmp_path):
    given = ["--count", "6", "--labels", "2,7", "--out", tmp_path / "grid.png"]
    more = ["--png-folder", tmp_path / "each", "--npz", tmp_path / "all.npz"]
    assert main(["sample", *map(str, [models / "runs/train/cgan", *given, *more])]) == 0
    with np.load(tmp_path / "all.npz") as stored:
        images, labels = stored["images"], stored["labels"]
    assert images.shape == (6, 1, 8, 8) and labels.tolist() == [2, 7] * 3
    for index, label in enumerate(labels):
        with Image.open(tmp_path / f"each/{label}/{index:06d}.png") as picture:
            assert (np.asarray(picture) == images[index, 0]).all()
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (8 * (2 * 9 + 1), 8 * (3 * 9 + 1))
    assert not list(tmp_path.rglob("*.partial"))


def test_the_images_are_those_of_the_seed(models, tmp_path):
    import genlib
    from genlib.data.images import to_pixels

    folder = models / "runs/train/gan"
    assert main(["sample", str(folder), "--count", "5", "--seed", "3", "--npz", str(tmp_path / "a.npz")]) == 0
    with np.load(tmp_path / "a.npz") as stored:
        assert (stored["images"] == to_pixels(genlib.load(folder).sample(5, seed=3)).numpy()).all()


def test_truncated_codes_follow_the_truncated_normal():
    from scipy import stats

    z = sample_truncated_normal(4000, 2, 0.7, seed=0)
    assert z.abs().max() <= 0.7
    assert stats.kstest(z.flatten().double().numpy(), stats.truncnorm(-0.7, 0.7).cdf).pvalue > 0.01


def test_labels_are_read():
    assert parse_labels("7") == [7] and parse_labels("0,3-5") == [0, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["sample", "nowhere"], "nowhere: not a model folder"),
        (["sample", "runs/train/classifier"], "makes no images"),
        (["sample", "runs/train/gan", "--labels", "1"], "--labels: got that runs/train/gan is asked for no classes"),
        (["sample", "runs/train/cgan", "--labels", "10"], "--labels: got 10, expected 0 to 9"),
        (["sample", "runs/train/cgan", "--labels", "5-2"], "--labels: got '5-2'"),
        (["sample", "runs/train/gan", "--count", "0"], "--count: got 0"),
        (["sample", "runs/train/gan", "--truncation", "-1"], "--truncation: got -1"),
        (["sample", "runs/train/gan", "--truncation", "nan"], "--truncation: got nan"),
        (["sample", "runs/train/autoencoder", "--truncation", "1"], "--truncation: got that"),
        (["sample", "runs/train/gan", "--out", "runs"], "--out: got the folder"),
        (["diff", "runs", "nowhere"], "nowhere: got no such folder"),
        (["diff", "data", "data"], "data: got no runs/train"),
        (["promote", "nothing"], "not a model folder"),
        (["promote", "classifier"], "decodes no codes"),
        (["completion", "fish"], "invalid choice: 'fish'"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(models, monkeypatch, capsys, arguments, found):
    monkeypatch.chdir(models)
    (models / "data").mkdir(exist_ok=True)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("genlib: ") and said.err.count("\n") == 1 and found in said.err
    assert not said.out


def test_debug_shows_where_an_error_came_from(models, monkeypatch, capsys):
    monkeypatch.chdir(models)
    assert main(["--debug", "sample", "nowhere"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setattr(doctor, "all_checks", lambda: [lambda: (1 / 0 and []) or {}["x"]])
    monkeypatch.setattr(doctor, "all_checks", lambda: {}["x"])
    assert main(["doctor"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KeyError" in said


def test_every_command_is_in_the_tree_and_its_line_is_that_of_its_function(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(COMMANDS)
    rooms = {path.stem for path in Path(diff.__file__).parent.glob("*.py")} - {"__init__"}
    assert rooms == set(COMMANDS)
    for name, (_, says) in COMMANDS.items():
        assert f"  {name} " in shown and says in shown
        body = getattr(import_module(f"genlib.commands.{name}"), name)
        assert " ".join(body.__doc__.split()) == says


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS) and "--truncation" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys; from genlib.cli import build_parser; build_parser().format_help();"
        "print({'torch', 'shtab', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()" and build_parser().prog == "genlib"


def test_a_difference_is_told_only_beyond_the_intervals(tmp_path, monkeypatch, capsys):
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
    assert told["gan", "frechet"] == "better" and told["gan", "inception_score"] == "alike"
    assert told["gan", "density"] == "cannot tell"
    with Image.open("reports/diff.png") as picture:
        assert picture.size[0] > 100
    assert main(["diff", "b", "a"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["gan.train.seed: 4 -> 3", "gan frechet: worse: 2 [1.5, 2.5] -> 4.2 [3.7, 4.7]"]


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
    assert [str(move) for move in found.metric_diffs] == [
        f"{name}: better: 3 [2.9, 3.1] -> 1 [0.9, 1.1]" for name in names
    ]


def test_doctor_names_what_is_broken(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense")
    monkeypatch.setattr(
        doctor,
        "all_checks",
        lambda: [doctor.check_python, doctor.check_torchvision, doctor.check_disk, doctor.check_tracking],
    )
    assert main(["doctor", "--json"]) == 1
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["MLflow's address"]["level"] == "broken" and "nonsense" in found["MLflow's address"]["found"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["doctor"]) == 0
    assert "does not answer" in capsys.readouterr().out
    (tmp_path / ".genlib/journal").mkdir(parents=True)
    assert any("0.1" in result.found for result in doctor.check_old_state())
    assert main(["doctor", "--fix"]) == 0
    assert not (tmp_path / ".genlib/journal").exists()
    versions = {"torch": "2.11.0", "torchvision": "0.28.0"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    assert next(doctor.check_torchvision()).level == "broken"
