"""The rating page over HTTP: who is shown what, which requests are refused, and that no answer is lost."""

import re
import threading

import pytest
from surveys import survey

from genlib.human.answers import read_answers
from genlib.human.app import create_app
from genlib.human.questions import QUESTION_FORMS
from genlib.human.staircase import FIRST_MS, staircase


@pytest.mark.parametrize("form", QUESTION_FORMS)
def test_every_rater_is_shown_all_trials_in_an_order_of_their_own(tmp_path, form):
    every = survey(tmp_path / "a.csv", form)
    orders = [[trial.name for trial in every.order_items(rater)] for rater in "ab"]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == len(orders[0])


@pytest.mark.parametrize("form", QUESTION_FORMS)
def test_a_hundred_answers_at_once_lose_none(tmp_path, form):
    every = survey(tmp_path / "a.csv", form, 100)
    client = create_app(every, "test")

    def say(position):
        sent = {"rater": "a", "position": position, "answer": list(QUESTION_FORMS[form].answers)[1], "seconds": 1}
        assert client.test_client().post("/answer", json=sent).status_code == 200

    threads = [threading.Thread(target=say, args=(at,)) for at in [*range(100), *range(50)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_answers(tmp_path / "a.csv")
    assert sorted(answer.item for answer in found) == sorted(trial.name for trial in every.order_items("a")[:100])


def test_an_answer_that_cannot_be_saved_is_said_and_may_be_given_again(tmp_path, capsys):
    """Disks that cannot be written: the page answered with a traceback in the terminal."""
    path = tmp_path / "folder/a.csv"
    client = create_app(survey(path), "test").test_client()
    sent = {"rater": "a", "position": 0, "answer": "fake", "seconds": 1}
    (tmp_path / "folder").write_text("a file, where the folder should be")
    assert client.post("/answer", json=sent).status_code == 507
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{path}: got an answer that cannot be saved" in said
    (tmp_path / "folder").unlink()
    assert client.post("/answer", json=sent).json["position"] == 1


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


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        ({"path": "/answer", "method": "POST", "data": b" " * 5000, "content_type": "application/json"}, 413),
        ({"path": "/answer", "method": "POST", "data": b"[" * 4000, "content_type": "application/json"}, 400),
        ({"path": f"/image?rater=a&side=0&position={'9' * 5000}"}, 400),
        ({"path": "/image?rater=a&position=0&side=-1"}, 400),
        ({"path": f"/next?rater={'a' * 50}"}, 400),
    ],
)
def test_a_request_of_no_sense_costs_neither_memory_nor_a_traceback(tmp_path, request_of, status):
    """Bodies of any size or depth and numbers of any length: each is refused before it is read."""
    app = create_app(survey(tmp_path / "a.csv"), "test")
    app.testing = True  # an error that no one expects is raised
    client = app.test_client()
    assert client.open(**request_of).status_code == status
    assert not (tmp_path / "a.csv").exists()


def test_no_other_page_shows_this_one_in_a_frame_and_only_its_own_script_runs(tmp_path):
    response = create_app(survey(tmp_path / "a.csv"), "test").test_client().get("/")
    policy, page = response.headers["Content-Security-Policy"], response.get_data(as_text=True)
    [nonce] = set(re.findall(r'nonce="([^"]+)"', page))
    assert "default-src 'none'" in policy and f"script-src 'nonce-{nonce}'" in policy
    assert "frame-ancestors 'none'" in policy and response.headers["X-Frame-Options"] == "DENY"


def test_the_page_climbs_the_stairs_of_the_answers_that_it_keeps_and_goes_on_there(tmp_path):
    path = tmp_path / "a.csv"
    every = survey(path, "timed")
    client = create_app(every, "test").test_client()
    told = [client.get("/next?rater=a").json["exposure"]]
    for at in range(20):
        sent = {"rater": "a", "position": at, "answer": "fake", "seconds": 1}
        told.append(client.post("/answer", json=sent).json["exposure"])
    kept = [answer for answer in read_answers(path) if not answer.is_catch]
    assert 10 < len(kept) < 20  # noise, which is plain to see after any look, moves nothing
    stood = [at for at, answer in enumerate(read_answers(path)) if answer.is_catch]
    assert [each for at, each in enumerate(told[1:]) if at not in stood] == staircase(a.is_wrong for a in kept)[1:]
    assert all(told[at + 1] == told[at] for at in stood) and told[0] == FIRST_MS
    again = create_app(survey(path, "timed"), "test").test_client()
    assert again.get("/next?rater=a").json["exposure"] == told[-1]
    assert again.get("/next?rater=b").json["exposure"] == FIRST_MS
    assert (
        create_app(survey(tmp_path / "b.csv", "one"), "test").test_client().get("/next?rater=a").json["exposure"]
        is None
    )
