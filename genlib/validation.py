"""Checks that constructors share: one out of range is a ValueError with name, limit and what was found."""

from __future__ import annotations

from typing import Any, get_args


def require_at_least(low: float, **options: float) -> None:
    for name, value in options.items():
        if not value >= low:
            raise ValueError(f"{name} must be at least {low}, found {value}")


def require_in_range(low: float, high: float, **options: float) -> None:
    """low <= value < high."""
    for name, value in options.items():
        if not low <= value < high:
            raise ValueError(f"{name} must be at least {low} and below {high}, found {value}")


def require_one_of(literal: Any, **options: str) -> None:
    """`literal` is a typing.Literal."""
    for name, value in options.items():
        if value not in get_args(literal):
            raise ValueError(f"{name} must be one of {', '.join(get_args(literal))}, found {value}")
