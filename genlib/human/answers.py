"""What people said of images: `data/ratings/<model>.csv`, one answer a row, appended and never changed."""

from __future__ import annotations

import csv
import os
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from genlib.errors import InputError

ALLOWED_ANSWERS = {  # how it was asked: what can be answered
    "one": ("real", "fake"),
    "timed": ("real", "fake"),
    "two": ("left", "right"),
    "pair": ("same", "different"),
}
CATCH_TAG = "catch"  # in the name of an item whose answer is plain to see


@dataclass(frozen=True)
class Answer:
    """`item`: which image or images; `truth`: the right `answer`, or nothing where nobody knows it; `seconds`: how long
    it took; `time`: when, in UTC."""

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
        """Which of FORMS it is an answer to; its word is in the item's name, but for one image at a time."""
        return next((word for word in self.item.split("-") if word in ALLOWED_ANSWERS), "one")

    @property
    def is_catch(self) -> bool:
        """Whether it was asked to see if the rater looks at all."""
        return CATCH_TAG in self.item.split("-")


WEIGHTS_ID_DIGITS = 8  # hex digits of the hash of the weights, with which the name of an item begins
COLUMNS = [field.name for field in fields(Answer)]


def read_answers(path: Path) -> tuple[Answer, ...]:
    """All whole answers in the file, none where there is no file; a last line that was cut short is passed over.

    Raises:
        InputError: a row is not an answer.
    """
    if not path.exists():
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: got text that is not UTF-8 ({error}), expected {','.join(COLUMNS)}") from error
    lines = text[: len(text) - len(_partial_line(text))].splitlines()
    if lines and lines[0].split(",") != COLUMNS:
        raise InputError(f"{path}: got the header {lines[0]!r}, expected {','.join(COLUMNS)}")
    return tuple(_parse_row(row, f"{path}, line {at}") for at, row in enumerate(csv.reader(lines[1:]), 2))


def _parse_row(row: list[str], where: str) -> Answer:
    try:
        rater, item, answer, truth, seconds, time = row
        found = Answer(rater, item, answer, truth, float(seconds), time)
    except ValueError as error:
        raise InputError(f"{where}: got {','.join(row)!r}, expected {','.join(COLUMNS)}") from error
    expected = ALLOWED_ANSWERS[found.form]
    for said in (answer, truth) if truth else (answer,):
        if said not in expected:
            raise InputError(f"{where}: got {said!r}, expected {' or '.join(expected)}")
    return found


def append_answer(answer: Answer, path: Path) -> None:
    """Add one answer, on disk before this returns; what a crash left of a line is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8", newline="") as file:
        if file.tell() == 0:
            file.write(",".join(COLUMNS) + "\n")
        else:
            _repair_last_line(path)
        csv.writer(file, lineterminator="\n").writerow(astuple(answer))
        file.flush()
        os.fsync(file.fileno())


def _repair_last_line(path: Path) -> None:
    """End a last line that has no end, or cut it off where it is no whole answer."""
    with path.open("rb+") as file:
        content = file.read()
        if content.endswith(b"\n"):
            return
        cut = _partial_line(content.decode("utf-8", "replace"))
        file.seek(0, os.SEEK_END)
        if cut:
            file.truncate(content.rfind(b"\n") + 1)
        else:
            file.write(b"\n")


def _partial_line(text: str) -> str:
    """The last line, where it is not ended and lacks a column."""
    last = text[text.rfind("\n") + 1 :]
    return last if len(next(csv.reader([last]), [])) < len(COLUMNS) else ""
