"""The answers of raters: `data/ratings/<model>.csv`, one answer a row, appended and never changed."""

import csv
import math
import os
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from genlib.errors import InputError
from genlib.human.questions import CATCH_TAG, QUESTION_FORMS


@dataclass(frozen=True)
class Answer:
    """A row. `item`: the name of a RatingItem; `truth`: the right answer, "" where nobody knows it; `time`: in UTC."""

    rater: str
    item: str
    answer: str
    truth: str
    seconds: float
    time: str

    @property
    def is_wrong(self) -> bool:
        return self.answer != self.truth

    @property
    def form(self) -> str:
        """The key in QUESTION_FORMS, which is in the item's name except for "one"."""
        return next((word for word in self.item.split("-") if word in QUESTION_FORMS), "one")

    @property
    def is_catch(self) -> bool:
        return CATCH_TAG in self.item.split("-")


COLUMNS = [field.name for field in fields(Answer)]


def read_answers(path: Path) -> tuple[Answer, ...]:
    """All answers, without a last line that was cut short. Raises InputError where a row is not an answer."""
    if not path.exists():
        return ()
    content = path.read_bytes()
    try:
        lines = content[: _whole_length(content)].decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: got text that is not UTF-8 ({error}), expected {','.join(COLUMNS)}") from error
    if lines and lines[0].split(",") != COLUMNS:
        raise InputError(f"{path}: got the header {lines[0]!r}, expected {','.join(COLUMNS)}")
    return tuple(_parse_row(row, f"{path}, line {number}") for number, row in enumerate(csv.reader(lines[1:]), 2))


def _parse_row(row: list[str], where: str) -> Answer:
    try:
        rater, item, answer, truth, seconds, time = row
        parsed = Answer(rater, item, answer, truth, float(seconds), time)
    except ValueError as error:
        raise InputError(f"{where}: got {','.join(row)!r}, expected {','.join(COLUMNS)}") from error
    if not 0 <= parsed.seconds < math.inf:
        raise InputError(f"{where}: got {seconds} seconds, expected 0 or more")
    expected = QUESTION_FORMS[parsed.form].answers
    if wrong := [each for each in (answer, truth or answer) if each not in expected]:
        raise InputError(f"{where}: got {wrong[0]!r}, expected {' or '.join(expected)}")
    return parsed


def append_answer(answer: Answer, path: Path) -> None:
    """Write one answer to the disk, after ending or removing a last line that a crash cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes() if path.exists() else b""
    whole = content[: _whole_length(content)]
    with path.open("a", encoding="utf-8", newline="") as file:
        file.truncate(len(whole))
        if not whole:
            file.write(",".join(COLUMNS) + "\n")
        elif not whole.endswith(b"\n"):
            file.write("\n")
        csv.writer(file, lineterminator="\n").writerow(astuple(answer))
        file.flush()
        os.fsync(file.fileno())


def _whole_length(content: bytes) -> int:
    """The number of bytes before a last line that has no end and lacks a column; all, where none of it is answers."""
    start = content.rfind(b"\n") + 1
    if not start and not ",".join(COLUMNS).encode().startswith(content):
        return len(content)
    last = content[start:].decode("utf-8", "replace")
    return start if len(next(csv.reader([last]), [])) < len(COLUMNS) else len(content)
