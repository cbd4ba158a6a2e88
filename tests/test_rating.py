"""What people say: every answer is kept once, and the error rate is what the answers give."""

import re
import threading
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import fmean

import pytest
import torch
from scipy import stats
from test_cli import project as project
from test_evidence import Judge, images

from genlib.cli import main
from genlib.errors import InputError
from genlib.evaluation.evaluator import applicable_metrics
from genlib.human import app as rating
from genlib.human import questions as trials
from genlib.human.answers import ALLOWED_ANSWERS, COLUMNS, Answer, append_answer, read_answers
from genlib.human.app import Survey, create_app
from genlib.metrics.human import (
    ASSUMED_RATER_STD,
    bootstrap_error_rates,
    count_wrong,
    human_choice_error,
    human_error_rate,
    interval_half_width,
    rater_std,
)
from genlib.metrics.inputs import build_inputs


def answers(rater, right, wrong, *, item="fake", truth="fake"):
    other = {"real": "fake", "fake": "real"}[truth]
    said = [truth] * right + [other] * wrong
    return [Answer(rater, f"{item}-{i}", each, truth, 1.0, "2026-01-01") for i, each in enumerate(said)]


@pytest.fixture(scope="module")
def evidence():
    return build_inputs(Judge(), images(40, 0), images(40, 1), images(40, 2), images(40, 3), 40, 0)


def rate(evidence, *parts):
    return human_error_rate(replace(evidence, ratings=tuple(chain(*parts))))


def test_the_rate_is_the_share_of_wrong_answers_of_those_who_look(evidence):
    caught = answers("b", 1, 3, item="catch")
    found = rate(
        evidence, answers("a", 30, 10), answers("c", 10, 10, item="real", truth="real"), answers("b", 40, 0), caught
    )
    assert found.value == pytest.approx(20 / 60) and found.n == 60
    assert found.detail["left_out"] == ["b"] and found.detail["raters"] == 2
    assert found.detail["by_kind"] == {"real": 0.5, "fake": 0.25}
    assert found.null is None and not found.detail["equivalent"]


def test_a_rater_who_says_one_thing_of_everything_is_left_out(evidence):
    """Half of it is right, by which the model would look perfect."""
    one_word = answers("b", 30, 0) + answers("b", 0, 30, item="real", truth="real")
    found = rate(evidence, answers("a", 30, 10), one_word)
    assert found.detail["left_out"] == ["b"] and found.value == 0.25


def test_the_interval_of_one_rater_is_that_of_a_binomial_share(evidence):
    found = rate(evidence, answers("a", 300, 100))
    low, high = (stats.binom(400, 0.25).ppf(q) / 400 for q in (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.005) and found.high == pytest.approx(high, abs=0.005)


def test_raters_who_differ_widen_the_interval(evidence):
    alike = rate(evidence, *(answers(rater, 30, 10) for rater in "abcdef"))
    unlike = rate(evidence, *(answers(r, 22, 18) if r in "abc" else answers(r, 38, 2) for r in "abcdef"))
    assert alike.value == unlike.value
    assert unlike.high - unlike.low > 2 * (alike.high - alike.low)


def test_the_bootstrap_has_the_variance_of_two_stages():
    """Var = (between + within) / R of rates p_r of n answers each."""
    p, n = torch.tensor([0.2, 0.3, 0.5, 0.6]).double(), 50.0
    found = bootstrap_error_rates(p * n, torch.full((4,), n).double(), 0).var()
    expected = (p.var(correction=0) + (p * (1 - p) / n).mean()) / 4
    assert float(found) == pytest.approx(float(expected), rel=0.1)


@pytest.mark.parametrize(
    ("count", "share", "equivalent"), [(4000, 0.5, True), (400, 0.5, True), (100, 0.5, False), (4000, 0.42, False)]
)
def test_equivalence_to_chance_takes_enough_answers_and_a_rate_near_it(evidence, count, share, equivalent):
    found = rate(evidence, answers("a", round(count * (1 - share)), round(count * share)))
    assert found.detail["equivalent"] is equivalent


def test_answers_about_one_image_and_about_two_are_never_counted_together(evidence):
    sides = [("left", "left")] * 20 + [("right", "right")] * 16 + [("left", "right")] * 4
    two = [Answer("a", f"mark-two-{i}", said, truth, 1.0, "2026-01-01") for i, (said, truth) in enumerate(sides)]
    mixed = replace(evidence, ratings=(*answers("a", 30, 10), *two))
    assert (human_error_rate(mixed).value, human_error_rate(mixed).n) == (0.25, 40)
    found = human_choice_error(mixed)
    assert (found.value, found.n) == (0.1, 40) and found.detail["by_kind"] == {"left": 0.0, "right": 0.2}


def test_nobody_is_told_of_a_choice_that_was_never_asked(evidence):
    one = replace(evidence, ratings=tuple(answers("a", 30, 10)))
    assert applicable_metrics(one, ["human_error_rate", "human_choice_error"]) == ["human_error_rate"]
    assert "nobody was shown" in human_choice_error(one).detail["reason"]


def raters(k, n, spread, seed):
    """The wrong answers, of n each, of k raters whose own error rates have mean 0.5 and this standard deviation."""
    both = 0.125 / spread**2 - 0.5
    return torch.from_numpy(stats.betabinom(n, both, both).rvs(k, random_state=seed)).double()


def test_the_width_that_is_promised_is_that_of_the_error_rates_that_come():
    means = torch.stack([raters(10, 100, 0.08, seed).mean() / 100 for seed in range(2000)])
    assert interval_half_width(10, 100, 0.08) == pytest.approx(1.96 * float(means.std()), rel=0.05)


@pytest.mark.parametrize("n", [50, 400])
def test_how_raters_differ_is_found_whatever_chance_adds(n):
    count = torch.full((30,), float(n))
    found = [rater_std(raters(30, n, 0.08, seed), count) ** 2 for seed in range(300)]
    assert fmean(found) ** 0.5 == pytest.approx(0.08, rel=0.05)
    assert rater_std(count[:2], count[:2]) is None and rater_std(*count_wrong([])) is None


def test_the_widths_in_the_docs_are_those_of_the_formula():
    text = (Path(__file__).parents[1] / "docs/metrics.md").read_text()
    rows = re.search(r"\| answers each \|(.*)\n\|[-|]*\n((?:\|.*\n)*)", text)
    many = [int(each) for each in re.findall(r"\d+", rows[1])]
    for row in rows[2].splitlines():
        n, *points = (int(each) for each in re.findall(r"\d+", row))
        assert points == [round(100 * interval_half_width(k, n, ASSUMED_RATER_STD)) for k in many]


def test_too_few_answers_have_no_rate(evidence):
    assert "found 3 answers, needs at least 20" in rate(evidence, answers("a", 3, 0)).detail["reason"]


def test_answers_survive_the_file_and_a_line_that_was_cut_short(tmp_path):
    path, given = tmp_path / "gan.csv", answers("a, b", 3, 1)
    for answer in given[:3]:
        append_answer(answer, path)
    path.write_text(path.read_text() + "a,fake-3,re")
    assert list(read_answers(path)) == given[:3]
    append_answer(given[3], path)
    assert list(read_answers(path)) == given
    assert read_answers(tmp_path / "nothing.csv") == ()


def test_a_last_row_that_lacks_nothing_but_its_end_stays(tmp_path):
    path, given = tmp_path / "gan.csv", answers("a", 3, 0)
    for answer in given[:2]:
        append_answer(answer, path)
    path.write_text(path.read_text().rstrip("\n"))
    assert list(read_answers(path)) == given[:2]
    append_answer(given[2], path)
    assert list(read_answers(path)) == given


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("who,what\n", "header"),
        ("a,b,maybe,fake,1,t\n", "'maybe', expected real or fake"),
        ("a,b,real,maybe,1,t\n", "'maybe', expected real or fake"),
        ("a,mark-pair-0-1,real,,1,t\n", "'real', expected same or different"),
        ("a,b\n", "line 2"),
        ("a,b,real,fake,x,t\n", "line 2"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_answer_is_named(tmp_path, content, says):
    path = tmp_path / "gan.csv"
    path.write_text(content if says == "header" else ",".join(COLUMNS) + "\n" + content)
    with pytest.raises(InputError, match=says):
        read_answers(path)


REAL, FAKE = (torch.full((100, 1, 4, 4), value, dtype=torch.uint8) for value in (200, 50))


def asked(form, n):
    """n trials of a form, or of real and generated images n each, and those that are plain to see."""
    if form == "pair":
        return trials.same_different({f"{i}-0": (REAL[i], FAKE[i]) for i in range(n)}, 0, "mark")
    return getattr(trials, form)(REAL[:n], FAKE[:n], 0, "mark")


def survey(path, form="one", n=20):
    return Survey(rating.QUESTION_FORMS[form], asked(form, n), path, 0)


@pytest.mark.parametrize("form", ALLOWED_ANSWERS)
def test_every_rater_is_shown_all_trials_in_an_order_of_their_own(tmp_path, form):
    every = survey(tmp_path / "a.csv", form)
    orders = [[trial.name for trial in every.order_items(rater)] for rater in "ab"]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == len(orders[0])


@pytest.mark.parametrize("form", ALLOWED_ANSWERS)
def test_the_page_and_the_answers_file_know_the_same_words(form):
    page = rating.QUESTION_FORMS[form]
    assert tuple(page.answers) == ALLOWED_ANSWERS[form]
    for trial in asked(form, 20):
        found = Answer("a", trial.name, next(iter(page.answers)), trial.truth, 1.0, "2026-01-01")
        assert found.form == form and found.is_catch == ("catch" in trial.name)
        assert len(trial.images) == len(page.alt_texts)
        assert trial.truth in page.answers or (trial.truth == "" and not found.is_catch)


@pytest.mark.parametrize("form", ["one", "timed", "two"])
def test_an_answer_counts_for_its_own_pictures_only(form):
    """Another seed or count may put another picture in the same place."""
    real, fake = torch.randint(256, (2, 20, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    names, again, other = (
        {trial.name for trial in getattr(trials, form)(real, made, 0, "mark") if trial.truth != "real"}
        for made in (fake, fake.clone(), fake.flip(0))
    )
    assert names == again
    assert not {name for name in names & other if "catch" not in name}


def test_as_many_images_are_real_as_generated():
    truths = [trial.truth for trial in asked("one", 20) if "catch" not in trial.name]
    assert truths.count("real") == truths.count("fake") == 20
    assert sum("catch" in trial.name for trial in asked("one", 20)) == 3


def test_of_pairs_it_is_plain_what_is_the_same_and_what_is_not():
    plain = [trial for trial in asked("pair", 24) if "catch" in trial.name]
    assert [trial.truth for trial in plain] == ["same"] * 2 + ["different"] * 2
    assert all(torch.equal(*trial.images) == (trial.truth == "same") for trial in plain)


def test_of_two_images_the_real_one_is_as_often_on_either_side():
    for trial in asked("two", 24):
        left, right = ("real" if (pixels == 200).all() else "other" for pixels in trial.images)
        assert (left, right) == (("real", "other") if trial.truth == "left" else ("other", "real"))
    truths = [trial.truth for trial in asked("two", 24)]
    assert len(truths) == 26 and truths.count("left") == 13


@pytest.mark.parametrize("form", ALLOWED_ANSWERS)
def test_a_hundred_answers_at_once_lose_none(tmp_path, form):
    every = survey(tmp_path / "a.csv", form, 100)
    client = create_app(every, "test")

    def say(position):
        sent = {"rater": "a", "position": position, "answer": ALLOWED_ANSWERS[form][1], "seconds": 1}
        assert client.test_client().post("/answer", json=sent).status_code == 200

    threads = [threading.Thread(target=say, args=(at,)) for at in [*range(100), *range(50)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_answers(tmp_path / "a.csv")
    assert sorted(answer.item for answer in found) == sorted(trial.name for trial in every.order_items("a")[:100])


def test_a_survey_goes_on_where_a_rater_left_it_and_an_answer_stands(tmp_path):
    path = tmp_path / "a.csv"
    client = create_app(survey(path), "test").test_client()
    sent = {"rater": "a", "position": 0, "answer": "fake", "seconds": 1}
    assert client.post("/answer", json=sent).json["position"] == 1
    assert client.post("/answer", json=sent | {"answer": "real"}).json["position"] == 1
    again = create_app(survey(path), "test").test_client()
    assert again.get("/next?rater=a").json == {"position": 1, "total": 43, "exposure": None}
    assert again.get("/next?rater=b").json["position"] == 0
    assert [answer.answer for answer in read_answers(path)] == ["fake"]


GIVEN = {"rater": "a", "position": 0, "answer": "fake", "seconds": 1}
WRONG = [
    *({key: value} for key, values in {
        "rater": ["", "=1+1", 7], "position": [99, True, -1], "answer": ["maybe", "same", ["real"], None],
        "seconds": [-1, "1"],
    }.items() for value in values)
]  # fmt: skip


@pytest.mark.parametrize("sent", [{}, [], *(GIVEN | wrong for wrong in WRONG)])
def test_what_is_no_answer_is_refused(tmp_path, sent):
    client = create_app(survey(tmp_path / "a.csv"), "test").test_client()
    assert client.post("/answer", json=sent).status_code == 400
    assert not (tmp_path / "a.csv").exists()


def test_only_this_machine_is_answered_and_only_json(tmp_path):
    client = create_app(survey(tmp_path / "a.csv"), "test").test_client()
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    form = {"rater": "a", "position": 0, "answer": "fake", "seconds": 1}
    assert client.post("/answer", data=form).status_code == 415
    assert not (tmp_path / "a.csv").exists()


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
        (["--count", "0"], "--count: found 0"),
        (["--port", "70000"], "--port: found 70000"),
        (["--pairs", "--count", "5"], "--count: found it beside --pairs"),
        (["--pairs"], "got no numbers of these weights, expected after evaluate@gan"),
    ],
)
def test_a_wrong_option_is_named(project, more, says, capsys):
    assert main(["rate", str(project / "gan"), "--data", str(project / "data"), *more]) == 2
    assert says in capsys.readouterr().err
