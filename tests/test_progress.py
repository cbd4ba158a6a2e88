"""Progress in plain lines: the rate and the time left, of quick and of slow things."""

import pytest

from genlib import progress
from genlib.progress import format_rate, track_progress


@pytest.mark.parametrize(
    ("done", "left", "seconds", "words"),
    [
        (3000, 6000, 2.0, "1,500 a second, 4 s left"),
        (3, 6, 2.0, "2 a second, 4 s left"),
        (20, 179, 30.0, "1.5 s each, 268 s left"),
        (1, 0, 600.0, "600.0 s each, 0 s left"),
        (5, -2, 0.0, "1,000,000,000 a second, 0 s left"),
    ],
)
def test_the_rate_is_never_none_and_the_time_left_never_negative(done, left, seconds, words):
    assert format_rate(done, left, seconds) == words


def test_items_pass_as_they_are_and_lines_come_at_intervals(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    assert list(track_progress("abc", "letters")) == list("abc")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["letters: 1 of 3", "letters: 2 of 3"]
