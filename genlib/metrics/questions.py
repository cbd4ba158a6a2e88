"""The questions that metrics answer, in the order of the page."""

from typing import Literal, get_args

Question = Literal[
    "Real-looking?",
    "Copied?",
    "All alike?",
    "As asked?",
    "Well translated?",
    "Real images probable?",
    "Classes recognised?",
    "What else?",
]
QUESTIONS: tuple[Question, ...] = get_args(Question)
REAL, COPIED, ALIKE = QUESTIONS[:3]
DIRECTIONS = ("_a2b", "_b2a")


def split_direction(name: str) -> tuple[str, str]:
    """The metric's name without suffix, and its direction of a translator: "_a2b", "_b2a" or ""."""
    suffix = next((suffix for suffix in DIRECTIONS if name.endswith(suffix)), "")
    return name.removesuffix(suffix), suffix
