"""Hyperparameters by dotted key, and `train.lr_d/lr_g`: the ratio of two options of one section.

A ratio stays what it is when the option below the slash changes, as the balance of a GAN should.
"""

from collections.abc import Mapping
from typing import Any

from genlib.errors import unknown_name
from genlib.registry import default_options


def flatten_options(model: Mapping[str, Any], objective: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of the three sections by its dotted key, with its value: given, or the default in the code."""
    rates = {f"lr_{phase}": rate for phase, rate in train["lr_by_phase"].items()}
    sections = {
        "model": {**default_options("models", model["name"]), **model},
        "objective": {**default_options("objectives", objective["name"]), **objective},
        "train": {key: value for key, value in train.items() if key != "lr_by_phase"} | rates,
    }
    return {f"{section}.{key}": value for section, options in sections.items() for key, value in options.items()}


def split_ratio(key: str) -> tuple[str, str]:
    """("train.lr_d", "train.lr_g") of "train.lr_d/lr_g"."""
    above, _, below = key.partition("/")
    return above, f"{above.partition('.')[0]}.{below}"


def current_value(key: str, options: Mapping[str, Any]) -> Any:
    """The value of a hyperparameter; a phase without a rate of its own has `train.lr`. Raises InputError."""
    if "/" in key:
        above, below = split_ratio(key)
        return current_value(above, options) / current_value(below, options)
    if key.startswith("train.lr_"):
        return options.get(key, options["train.lr"])
    if key not in options:
        raise unknown_name(key, key, options)
    return options[key]


def resolve_ratios(overrides: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides with each ratio as the value of its first option, which is an integer of at least 1 where the
    second one is an integer."""
    resolved = {key: value for key, value in overrides.items() if "/" not in key}
    for key, ratio in overrides.items():
        if "/" in key:
            above, below = split_ratio(key)
            base = resolved[below] if below in resolved else current_value(below, options)
            resolved[above] = max(1, round(ratio * base)) if isinstance(base, int) else ratio * base
    return resolved
