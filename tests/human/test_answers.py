"""The file of answers: each is kept once, whole, and a row that is none is named."""

import pytest
from surveys import answers

from genlib.errors import InputError
from genlib.human.answers import COLUMNS, append_answer, read_answers


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
