"""Numbers as text: three significant digits, thousands separators, a dash for None."""

DASH, MINUS = "\N{EM DASH}", "\N{MINUS SIGN}"


def format_number(value: float | None) -> str:
    """0.99 -> "0.990", 12345.6 -> "12,346", None -> a dash."""
    if value is None:
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".")
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def format_interval(low: float | None, high: float | None) -> str:
    """ "0.970 to 0.990"; an open end in words; "" where there is neither end."""
    if low is None:
        return "" if high is None else f"at most {format_number(high)}"
    return f"{format_number(low)} to {format_number(high)}" if high is not None else f"at least {format_number(low)}"


def display_name(name: str) -> str:
    return name.replace("_", " ")
