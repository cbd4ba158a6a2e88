"""The graph as DVC sees it: what a change makes stale, and nothing else; and what DVC shows of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genlib.data.images import write_grid
from genlib.evaluation.evaluator import NUM_SUMMARY_METRICS, summary_metrics
from genlib.params import load_params, read_yaml
from genlib.training.job import code_files

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def run(project, *command):
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stale(project):
    """The stages that `dvc repro` would run, without `raw` where nothing but its always being run speaks for it."""
    status = json.loads(run(project, "dvc", "status", "--json"))
    return {name for name, changes in status.items() if name and changes != ["always changed"]}


def downstream(project, names):
    """`names` and every stage that depends on one of them."""
    edges = [
        line.split(" -> ") for line in run(project, "dvc", "dag", "--dot").replace('"', "").splitlines() if "->" in line
    ]
    found = set(names)
    while more := {b.strip().rstrip(";") for a, b in edges if a.strip() in found} - found:
        found |= more
    return found


CURVES = ("loss", "loss_d", "loss_g", "mse", "reconstruction", "kl")
HALVES = {"test": "a" * 16, "size": 179, "values": "0.4 0.6 0.5 0.45"}
MEASURE = {"value": 0.5, "low": 0.4, "high": 0.6, "null": 0.1, "n": 359, "detail": {"halves": HALVES}}


def stand_ins(params):
    """What the stages would write, by path, as far as DVC looks into it."""
    asked = params.evaluate.metrics
    values = json.dumps(summary_metrics(dict.fromkeys(asked, MEASURE["value"]), asked))
    measures = json.dumps({"metrics": dict.fromkeys(asked, MEASURE), "card": {}})
    history = "\n".join("\t".join(row) for row in [("images_seen", *CURVES), ("10", *"222222"), ("20", *"111111")])
    found = dict.fromkeys(
        ("data/raw.json", "data/prepared/dataset.json", "reports/index.html", "reports/leaderboard.csv"), "{}"
    )
    for model in params.models:
        found |= {f"data/ratings/{model}.csv": "", f"runs/train/{model}/config.json": "{}"}
        found |= {f"runs/train/{model}/history.tsv": history, f"runs/evaluate/{model}/values.json": values}
        found[f"runs/evaluate/{model}/metrics.json"] = measures
    for model in params.tune.models:
        found |= {f"runs/compare/{model}/{side}/values.json": values for side in ("default", "tuned")}
        found |= {f"runs/tune/{model}/best.yaml": "{}", f"runs/compare/{model}/metrics.json": measures}
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone with every stage done, as far as DVC can tell: outputs are stand-ins, committed without a run."""
    clone = tmp_path_factory.mktemp("project") / "clone"
    files = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("name: mnist5k", "name: digits", 1))  # which is read at once
    run(clone, "git", "init", "-q")
    params = load_params(clone / "params.yaml")
    for name, text in stand_ins(params).items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    for model in params.models:
        figures = clone / "runs/evaluate" / model / "figures"
        figures.mkdir()
        (figures.parent / "seeds").mkdir()
        write_grid(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), figures / "samples.png")
    run(clone, "dvc", "commit", "--force", "--quiet")
    assert stale(clone) == set()
    return clone


@pytest.fixture
def changed(project):
    """Change the text of a file for one test."""
    kept = {}

    def change(name, old, new):
        path = project / name
        kept.setdefault(path, path.read_text())
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    yield change
    for path, text in kept.items():
        path.write_text(text)


def all_stages(project):
    """All but `raw`, which runs always."""
    return {line.split()[0] for line in run(project, "dvc", "stage", "list").splitlines()} - {"raw"}


def test_every_model_has_its_stages(project):
    params = load_params(project / "params.yaml")
    expected = {f"{stage}@{model}" for stage in ("train", "evaluate") for model in params.models}
    expected |= {f"{stage}@{model}" for stage in ("tune", "compare") for model in params.tune.models}
    assert all_stages(project) == expected | {"prepare", "report"}


def test_one_models_params_rerun_that_models_stages_and_the_report(project, changed):
    changed("params.yaml", "objective: {name: elbo", "objective: {beta: 2.0, name: elbo")
    assert downstream(project, stale(project)) == {"train@vae", "evaluate@vae", "report"}


def test_another_metric_reruns_evaluate_compare_and_report(project, changed):
    changed("params.yaml", "metrics: [inception_score,", "metrics: [")
    expected = {name for name in all_stages(project) if name.startswith(("evaluate@", "compare@"))}
    assert downstream(project, stale(project)) == expected | {"report"}


def test_another_search_space_reruns_the_sweep_alone(project, changed):
    changed("params.yaml", "objective.r1: {loguniform: [0.02", "objective.r1: {loguniform: [0.03")
    assert downstream(project, stale(project)) == {"tune@gan", "compare@gan", "report"}


def test_other_data_rerun_everything(project, changed):
    changed("params.yaml", "image_size: 16", "image_size: 8")
    assert downstream(project, stale(project)) == all_stages(project)


def test_a_new_model_makes_no_other_stale(project, changed):
    changed("params.yaml", "models:\n", "models:\n  vae2:\n    model: {name: vae}\n    objective: {name: elbo}\n")
    (project / "data/ratings/vae2.csv").write_text("")
    fresh = stale(project)
    assert {name for name in fresh if "vae2" not in name} <= {"report"}
    assert {"train@vae2", "evaluate@vae2"} <= fresh


def test_a_models_file_reruns_the_models_that_name_it(project, changed):
    changed("genlib/models/gan.py", '"""', '""" ')
    found = downstream(project, stale(project))
    assert "train@gan" in found
    assert not {"train@vae", "train@classifier", "train@scorer", "evaluate@vae"} & found


def test_the_digest_of_a_job_covers_the_code_that_its_stage_depends_on(project):
    files = {str(path.relative_to(ROOT)) for path in code_files("gan", "adversarial")}
    stage = read_yaml(project / "dvc.yaml")["stages"]["train"]["do"]
    named = {
        dep.replace("${item.model.name}", "gan").replace("${item.objective.name}", "adversarial")
        for dep in stage["deps"]
    }
    covered = {file for file in files if file in named or any(file.startswith(f"{dep}/") for dep in named)}
    assert covered == files


def test_what_is_pushed_to_a_remote_is_pulled_into_another_checkout(project, tmp_path):
    run(project, "dvc", "remote", "add", "--local", "--force", "team", str(tmp_path / "remote"))
    run(project, "dvc", "push", "--quiet", "--remote", "team")
    other = tmp_path / "other"
    made = shutil.ignore_patterns("runs", "reports", "prepared", "raw.json", "cache", "tmp")
    shutil.copytree(project, other, ignore=made)
    assert stale(other) == all_stages(other) | {"raw"}
    run(other, "dvc", "pull", "--quiet", "--remote", "team")
    assert stale(other) == set()
    page = "reports/index.html"
    assert (other / page).read_text() == (project / page).read_text()


@pytest.fixture(scope="module")
def experiment(project):
    """The project with a commit, and the name of an experiment that was run beside it: another seed of the data."""
    run(project, "git", "add", "--all")
    run(project, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    run(project, "dvc", "exp", "run", "--temp", "--name", "another-seed", "-S", "data.seed=1", "prepare")
    return "another-seed"


def test_metrics_are_one_small_table_of_plain_numbers(project):
    head, *rows = (line.split() for line in run(project, "dvc", "metrics", "show").splitlines())
    params = load_params(project / "params.yaml")
    assert head[0] == "Path" and sorted(head[1:]) == sorted(params.evaluate.metrics[:NUM_SUMMARY_METRICS])
    assert len(rows) == len(params.models) + 2 * len(params.tune.models)
    assert all(len(row) == len(head) and {*row[1:]} == {"0.5"} for row in rows)


def test_curves_are_drawn_by_images_seen_and_figures_shown(project):
    plots = json.loads(run(project, "dvc", "plots", "show", "--json"))["data"]
    for model in load_params(project / "params.yaml").models:
        [curve] = plots[model]
        content = curve["content"]
        assert content["encoding"]["x"]["field"] == "images_seen"
        assert {point["images_seen"] for point in content["data"]["values"]} == {"10", "20"}
        [picture] = plots[f"runs/evaluate/{model}/figures/samples.png"]
        assert picture["type"] == "image"


def test_an_experiment_shows_its_values(project, experiment):
    baseline, *_ = (each for each in json.loads(run(project, "dvc", "exp", "show", "--json")) if each["experiments"])
    [found] = baseline["experiments"]
    assert found["name"] == experiment
    [told] = found["revs"]
    assert told["data"]["params"]["params.yaml"]["data"]["data"]["seed"] == 1
    assert told["data"]["metrics"]["runs/evaluate/gan/values.json"]["data"]["kid"] == 0.5


@pytest.mark.filterwarnings("ignore")  # of MLflow
def test_the_runs_of_an_experiment_are_named_and_outlive_its_copy(project, experiment):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{project}/mlflow.db")
    [found] = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert found.info.run_name == f"prepare {experiment}"
    assert found.data.tags["genlib.dvc_experiment"] == experiment
    assert found.info.status == "FINISHED"


def test_intervals_are_read_from_revisions(project, experiment):
    found = json.loads(run(project, "genlib", "diff", "HEAD", experiment, "--json"))
    assert found["params"] == {"data.seed": [0, 1]}
    [kid] = [each for each in found["metrics"] if (each["model"], each["metric"]) == ("gan", "kid")]
    assert kid["outcome"] == "cannot tell" and (kid["a"]["low"], kid["b"]["high"]) == (0.4, 0.6)
    assert (kid["difference"]["value"], kid["difference"]["note"]) == (0.0, "")  # paired: the halves were read too
