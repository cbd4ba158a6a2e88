"""The questions that metrics answer, in the order in which a reader asks them. A metric names its own."""

from typing import Literal, get_args

Question = Literal[
    "Real-looking?",
    "Copied?",
    "All alike?",
    "As asked?",
    "Well translated?",
    "Real images probable?",
    "Classes told?",
    "What else?",
]
QUESTIONS: tuple[Question, ...] = get_args(Question)
REAL, COPIED, ALIKE = QUESTIONS[:3]
DIRECTIONS = ("_a2b", "_b2a")


def split_direction(name: str) -> tuple[str, str]:
    """The metric's own name, and which direction of a translator it is of: "_a2b", "_b2a" or ""."""
    suffix = next((suffix for suffix in DIRECTIONS if name.endswith(suffix)), "")
    return name.removesuffix(suffix), suffix
