"""`genlib rate` from the model folder to the answers, and from the answers to the metrics."""

import json
import shutil
from dataclasses import replace

import pytest
from untrained_models import project as project

from genlib.cli import main
from genlib.data.dataset import load_dataset
from genlib.evaluation.evaluator import Evaluator
from genlib.evaluation.runner import compute_metrics, report_to_json
from genlib.human.answers import read_answers
from genlib.metrics.support import MAX_RATED_PAIRS
from genlib.registry import load


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
def test_the_command_serves_the_models_images_and_keeps_answers_beside_the_data(project, tmp_path, monkeypatch, capsys):
    from mlflow import MlflowClient

    asked = {}

    class Server:
        port = 5050

        def __init__(self, host, port, application, threaded):
            asked.update(host=host, client=application.test_client())

        def serve_forever(self):
            sent = {"rater": "a", "position": 0, "answer": "fake", "seconds": 1}
            assert asked["client"].post("/answer", json=sent).status_code == 200
            assert asked["client"].get("/image?rater=a&position=1&side=0").data.startswith(b"\x89PNG")
            assert asked["client"].get("/image?rater=a&position=1&side=1").status_code == 400
            raise KeyboardInterrupt

        def server_close(self):
            pass

    monkeypatch.setattr("werkzeug.serving.make_server", Server)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert main(["rate", str(project / "gan"), "--data", str(project / "data"), "--count", "5"]) == 0
    assert asked["host"] == "127.0.0.1"
    said = capsys.readouterr().out
    assert "ratings/gan.csv: 1 answers of 1 raters" in said
    assert "10 answers each: error rate within \u00b135 points by 1, " in said and "differ by 8 (assumed)" in said
    [answer] = read_answers(project / "ratings/gan.csv")
    assert not answer.is_catch
    [found] = MlflowClient().search_runs([MlflowClient().get_experiment_by_name("rate").experiment_id])
    assert found.info.run_name == "rate gan" and found.data.tags["genlib.stage"] == "rate"
    assert (found.data.metrics["answers"], found.data.metrics["human_error_rate"]) == (1, answer.is_wrong)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--count", "0"], "--count: got 0"),
        (["--port", "70000"], "--port: got 70000"),
        (["--same-different", "--count", "5"], "--count: got it beside --same-different"),
        (["--same-different"], "got weights that were not evaluated, expected evaluated ones; run evaluate@gan"),
        (["--two"], "--two: got a name of genlib 0.1, expected --forced-choice"),
        (["--pairs"], "--pairs: got a name of genlib 0.1, expected --same-different"),
    ],
)
def test_a_wrong_option_is_named(project, more, says, capsys):
    assert main(["rate", str(project / "gan"), "--data", str(project / "data"), *more]) == 2
    assert says in capsys.readouterr().err


@pytest.fixture
def judged(project, tmp_path):
    """A project whose GAN was evaluated; it is untrained, so many of its images are the same."""
    shutil.copytree(project / "data", tmp_path / "data/prepared")
    for name in ("gan", "classifier"):
        shutil.copytree(project / name, tmp_path / "runs/train" / name)
    gan = tmp_path / "runs/train/gan"
    (tmp_path / "runs/evaluate/gan").mkdir(parents=True)
    write(tmp_path, measured(tmp_path), {"model_sha256": sha(gan), "n": 120, "seed": 3})
    return tmp_path


def sha(folder):
    from genlib.files import file_sha256

    return file_sha256(folder / "model.safetensors")


def measured(root, ratings=()):
    bench = Evaluator.from_folder(root / "runs/train/classifier", load_dataset(root / "data/prepared"))
    (e,) = bench.test_inputs(load(root / "runs/train/gan"), 120, 3).values()
    return compute_metrics(replace(e, ratings=ratings), ["support"])


def write(root, measures, card):
    (root / "runs/evaluate/gan/metrics.json").write_text(json.dumps(report_to_json(measures, (), card)))


def rate(root, monkeypatch, answer):
    """`genlib rate --same-different`, with a rater who answers all trials with what `answer` makes of them."""
    from genlib.human import app as rating

    def serve(survey, model, port):
        for at, trial in enumerate(survey.order_items("a")):
            survey.record_answer("a", at, trial.truth or answer(trial), 1.0)

    monkeypatch.setattr(rating, "serve", serve)
    return main(["rate", str(root / "runs/train/gan"), "--data", str(root / "data/prepared"), "--same-different"])


@pytest.mark.parametrize("answer", ["same", "different"])
def test_what_is_said_on_the_page_is_what_evaluate_counts(judged, monkeypatch, answer):
    before = measured(judged)["support"]
    assert rate(judged, monkeypatch, lambda trial: answer) == 0
    ratings = read_answers(judged / "data/ratings/gan.csv")
    assert ratings
    after = measured(judged, ratings)["support"]
    shown = min(MAX_RATED_PAIRS, before.detail["collisions"])
    assert after.detail["people"] == {"shown": shown, "confirmed": shown if answer == "same" else 0}
    assert after.detail["null"]["people"]["shown"] == len(before.detail["null"]["asked"]) > 5
    if answer == "same":
        assert after.value == pytest.approx(before.value)
    else:
        assert after.value > 3 * before.value


def test_other_weights_or_other_images_are_refused(judged, monkeypatch, capsys):
    found = measured(judged)
    card = {"model_sha256": sha(judged / "runs/train/gan"), "n": 120}
    for seed, weights, says in (
        (4, {}, "other images than were evaluated"),
        (3, {"model_sha256": "0"}, "not evaluated"),
    ):
        write(judged, found, card | {"seed": seed} | weights)
        assert rate(judged, monkeypatch, lambda trial: "same") == 2
        assert says in capsys.readouterr().err
    write(judged, {}, card | {"seed": 3})
    assert rate(judged, monkeypatch, lambda trial: "same") == 2
    assert "no pairs to ask about" in capsys.readouterr().err
    assert not (judged / "data/ratings").exists()
