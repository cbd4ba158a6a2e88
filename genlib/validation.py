"""Checks of options: one out of range raises ValueError with its name, its value and what is expected."""

from typing import Any, get_args


def require_at_least(low: float, **options: float) -> None:
    for name, value in options.items():
        if not value >= low:
            raise ValueError(f"{name}: got {value}, expected at least {low}")


def require_in_range(low: float, high: float, **options: float) -> None:
    """low <= value < high."""
    for name, value in options.items():
        if not low <= value < high:
            raise ValueError(f"{name}: got {value}, expected at least {low} and below {high}")


def require_one_of(literal: Any, **options: str) -> None:
    """`literal` is a typing.Literal."""
    for name, value in options.items():
        if value not in get_args(literal):
            raise ValueError(f"{name}: got {value}, expected one of {', '.join(get_args(literal))}")
