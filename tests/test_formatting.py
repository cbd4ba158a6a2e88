"""Numbers and intervals for the reader."""

from __future__ import annotations

from typing import Any

import pytest

from genlib.formatting import DASH, MINUS, format_interval, format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, DASH),
        (0.99, "0.990"),
        (9.8, "9.80"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (0, "0.00"),
        (-0.5, MINUS + "0.500"),
    ],
)
def test_numbers_have_three_digits(value: Any, text: str) -> None:
    assert format_number(value) == text


def test_intervals_may_be_open() -> None:
    assert format_interval(1.0, 2.0) == "1.00 to 2.00"
    assert format_interval(1.0, None) == "at least 1.00"
    assert format_interval(None, None) == ""
