"""The journal: everything is on disk before it is sent, once, in order, also across a killed process."""

import torch

from genlib.tracking.journal import Journal, Reporter, finished, flatten_dotted, read_events
from genlib.training.loop import Progress

RUN = {"name": "train gan", "experiment": "digits", "tags": {"genlib.stage": "train"}, "params": {"train": {"lr": 0.1}}}


def test_events_are_on_disk_in_order(tmp_path):
    run = Journal(tmp_path / "j").run("stage", **RUN)
    run.log({"loss": 1.0}, step=10)
    run.tag({"a": "b"})
    run.end()
    events = read_events(tmp_path / "j" / "events.jsonl")
    assert [event["op"] for event in events] == ["start", "log", "tag", "end"]
    assert events[0]["params"] == {"train.lr": "0.1"}
    assert finished(tmp_path / "j")


def test_a_process_that_comes_again_logs_nothing_twice(tmp_path):
    for _ in range(2):
        run = Journal(tmp_path / "j").run("stage", **RUN)
        for step in (10, 20):
            run.log({"loss": 1.0}, step)
            run.figure("samples", torch.zeros(4, 1, 8, 8, dtype=torch.uint8), step)
    run.log({"loss": 0.5}, 30)
    events = read_events(tmp_path / "j" / "events.jsonl")
    assert [event["op"] for event in events] == ["start", "log", "figure", "log", "figure", "log"]


def test_a_half_written_last_line_is_left_for_later(tmp_path):
    Journal(tmp_path / "j").run("stage", **RUN)
    events = tmp_path / "j" / "events.jsonl"
    with events.open("a") as file:
        file.write('{"op": "lo')
    assert [event["op"] for event in read_events(events)] == ["start"]


def test_a_new_run_does_not_enter_the_journal_of_one_that_ended(tmp_path):
    first = Journal(tmp_path / "j")
    first.run("stage", **RUN).end()
    assert Journal(tmp_path / "j").folder != first.folder


def test_kept_files_are_copies(tmp_path):
    source = tmp_path / "x.txt"
    source.write_text("as it was")
    journal = Journal(tmp_path / "j")
    journal.run("stage", **RUN).keep(source)
    source.unlink()
    [event] = [event for event in read_events(journal.events) if event["op"] == "keep"]
    assert (journal.folder / event["file"]).read_text() == "as it was"
    assert event["name"] == "x.txt"


def test_a_reporter_tells_reports_samples_and_the_rate(tmp_path):
    run = Journal(tmp_path / "j").run("stage", **RUN)
    report = Reporter(run)
    samples = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    for progress in (Progress(0, 20, {}, resumed=True), Progress(10, 20, {"loss": 1.0}, samples=samples)):
        report(progress)
    log, figure = read_events(tmp_path / "j" / "events.jsonl")[1:]
    assert log["step"] == figure["step"] == 10
    assert log["metrics"]["loss"] == 1.0
    assert log["metrics"]["images_per_second"] > 0


def test_flat_joins_keys_by_dots():
    assert flatten_dotted({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}
