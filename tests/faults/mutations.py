"""Damaged inputs: each is refused with one line and exit code 2, or it changes nothing.

A mutation has a name, damages a copy of a correct input, and says how that must end:

    REFUSED   exit code 2, one line that names the file or the key, no other output and no file changed
    SAME      exit code 0, and the result is that of the correct input
    LEGAL     exit code 0, and the result is what the changed input says
    JUDGED    for randomly damaged text: whichever of the three an independent reading calls for

Every other end (a traceback, another code, a result that differs) is a defect. In params.yaml a legal change is told
from damage by reading the text with nothing but a YAML parser: where the values in it are those of the original the end
must be SAME, and where they are not the check may pass only if every one of them stands in the params as it was
written, at its own key. All other files are results of a stage, where any change of content is damage.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from genlib.files import CHECKSUM_KEY

REFUSED, SAME, LEGAL, JUDGED = "refused", "same", "legal", "judged"


class Mutation(NamedTuple):
    """`damage` changes the files of a folder; `expected` is the end that this must have."""

    name: str
    damage: Callable[..., Any]
    expected: str = REFUSED


def parametrize(mutations: list[Mutation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mutation", mutations, ids=[mutation.name for mutation in mutations])


def require_refusal(code: int, stderr: str, *patterns: str) -> None:
    """Exit code 2 and one line, in which one of the regular expressions is found."""
    assert code == 2, stderr
    assert re.fullmatch(r"genlib: [^\n]+\n", stderr), stderr
    assert any(re.search(pattern, stderr) for pattern in patterns), stderr


def flip_bit(path: Path, where: float, bit: int = 1) -> None:
    """Flip a bit of the byte at the fraction `where` of the file."""
    content = bytearray(path.read_bytes())
    content[min(int(where * len(content)), len(content) - 1)] ^= bit
    path.write_bytes(content)


def truncate(path: Path, where: float) -> None:
    """Keep the fraction `where` of the file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(where * len(content))])


def edit_json(path: Path, drop_checksum: bool = False, **changes: Any) -> None:
    """Change keys of a JSON file and keep its checksum, or drop that too; None drops a key."""
    content = json.loads(path.read_text()) | ({CHECKSUM_KEY: None} if drop_checksum else {}) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


FILE_DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: truncate(path, 0),
    "5 bytes": lambda path: path.write_bytes(path.read_bytes()[:5]),
    "cut in half": lambda path: truncate(path, 0.5),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "with one more byte": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a bit of the first byte": lambda path: flip_bit(path, 0),
    "a bit of the header": lambda path: flip_bit(path, 12 / path.stat().st_size, 2),
    "a bit in the middle": lambda path: flip_bit(path, 0.5),
    "a bit near the end": lambda path: flip_bit(path, 0.95, 128),
    "a bit of the last byte": lambda path: flip_bit(path, 1, 64),
    "text": lambda path: path.write_text("this is not such a file\n"),
}
