"""Nineteen damaged files of raters' answers: each is refused with one line, or gives the same answers."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.mutations import FILE_DAMAGE, REFUSED, SAME, Mutation, parametrize, require_refusal
from surveys import answers

from genlib.errors import run_cli
from genlib.human.answers import COLUMNS, append_answer, read_answers

Damage = Callable[[Path], object]
HEADER = ",".join(COLUMNS)


def line(number: int, change: Callable[[str], str]) -> Damage:
    def damage(path: Path) -> None:
        lines = path.read_text().splitlines()
        lines[number] = change(lines[number])
        path.write_text("\n".join(lines) + "\n")

    return damage


def column(index: int, value: str) -> Damage:
    def change(row: str) -> str:
        cells = row.split(",")
        cells[index] = value
        return ",".join(cells)

    return line(3, change)


MUTATIONS = [
    *(Mutation(name, FILE_DAMAGE[name]) for name in ("zeros", "a bit of the first byte", "text")),
    Mutation("no header", line(0, lambda row: "a,b")),
    Mutation("columns in another order", line(0, lambda row: ",".join(sorted(COLUMNS)))),
    Mutation("an unknown answer", column(2, "maybe")),
    Mutation("an unknown truth", column(3, "maybe")),
    Mutation("no answer", column(2, "")),
    Mutation("seconds in words", column(4, "three")),
    Mutation("seconds that are no number", column(4, "nan")),
    Mutation("seconds below 0", column(4, "-1")),
    Mutation("endless seconds", column(4, "inf")),
    Mutation("a column too many", line(3, lambda row: row + ",x")),
    Mutation("a column too few", line(3, lambda row: row.rpartition(",")[0])),
    Mutation("an empty row", line(3, lambda row: "")),
    Mutation("bytes that are no UTF-8", lambda path: path.write_bytes(path.read_bytes() + b"\xff,a,real,fake,1,t\n")),
    Mutation("a last row that was cut short", lambda path: path.write_text(path.read_text() + "a,fake-3,re"), SAME),
    Mutation("without its last byte", FILE_DAMAGE["without its last byte"], SAME),
    Mutation("Windows' ends of lines", lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")), SAME),
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    for answer in answers("a", 6, 2):
        append_answer(answer, tmp_path / "gan.csv")
    return tmp_path / "gan.csv"


@parametrize(MUTATIONS)
def test_bad_answers(mutation, path, capsys):
    given = read_answers(path)
    mutation.damage(path)
    found = []
    code = run_cli(lambda: found.extend(read_answers(path)))
    if mutation.expected == REFUSED:
        require_refusal(code, capsys.readouterr().err, re.escape(str(path)))
        return
    assert code == 0 and tuple(found) == given
    append_answer(given[0], path)
    assert read_answers(path) == (*given, given[0])
