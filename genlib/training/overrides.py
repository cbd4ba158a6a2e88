"""Knobs: values at dotted keys of a model's params, and `train.lr_d/lr_g`, the ratio of two of one section.

A ratio is what two players are balanced by: it stays what it is when the other knob moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlib.errors import unknown_name
from genlib.registry import default_options


def flatten_options(model: Mapping[str, Any], objective: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of the three by its dotted key, with the value that it has: given, or by default in the code."""
    sections = {
        "model": default_options("models", model["name"]) | dict(model),
        "objective": default_options("objectives", objective["name"]) | dict(objective),
        "train": {k: v for k, v in train.items() if k != "lr_by_phase"}
        | {f"lr_{turn}": rate for turn, rate in train["lr_by_phase"].items()},
    }
    return {f"{section}.{key}": value for section, found in sections.items() for key, value in found.items()}


def split_ratio(key: str) -> tuple[str, str]:
    """("train.lr_d", "train.lr_g") of "train.lr_d/lr_g"."""
    above, _, below = key.partition("/")
    return above, f"{above.partition('.')[0]}.{below}"


def current_value(key: str, values: Mapping[str, Any]) -> Any:
    """What a knob is at among `values`: the rate of a turn that has none of its own is `train.lr`.

    Raises:
        InputError: there is no such option.
    """
    if "/" in key:
        above, below = (current_value(each, values) for each in split_ratio(key))
        return above / below
    if key.startswith("train.lr_"):
        return values.get(key, values["train.lr"])
    if key not in values:
        raise unknown_name(key, key, values)
    return values[key]


def resolve_ratios(overrides: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs without ratios: each multiplied by what it is a ratio to, which another knob or else `values` gives.

    Where that is a whole number, so is the product, and at least 1.
    """
    plain = {key: value for key, value in overrides.items() if "/" not in key}
    for key, ratio in overrides.items():
        if key in plain:
            continue
        above, below = split_ratio(key)
        whole = plain[below] if below in plain else current_value(below, values)
        plain[above] = max(1, round(ratio * whole)) if isinstance(whole, int) else ratio * whole
    return plain
