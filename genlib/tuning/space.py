"""Knobs as Ray is told them: one flat name each, and numbers in the scale in which it should step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, list[Any]]
Space = Mapping[str, Entry]
Knobs = Mapping[str, Any]


def kind_of(entry: Entry) -> tuple[str, list[Any]]:
    """("loguniform", [low, high]) of {"loguniform": [low, high]}."""
    [(kind, values)] = entry.items()
    return kind, values


def continuous(entry: Entry) -> bool:
    return kind_of(entry)[0] in ("uniform", "loguniform")


@dataclass(frozen=True)
class Coding:
    """Between the knobs of `space` and Ray's flat config; `logarithms`: whether loguniform ones go by their logarithm,
    for whoever takes the space to be linear."""

    space: Space
    logarithms: bool = False

    def name(self, key: str) -> str:
        """Ray takes a slash for a step into a nested config."""
        return key.replace("/", "|")

    def ends(self, key: str) -> list[float]:
        """Of a continuous knob."""
        _, values = kind_of(self.space[key])
        return [math.log(value) for value in values] if self._by_logarithm(key) else [float(value) for value in values]

    def distributions(self) -> dict[str, Any]:
        """Ray's, by Ray's names."""
        return {self.name(key): self._distribution(key) for key in self.space}

    def encode(self, knobs: Knobs) -> dict[str, Any]:
        return {self.name(key): self._value(key, value) for key, value in knobs.items()}

    def decode(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The knobs, those outside of the space too."""
        keys = {self.name(key): key for key in self.space}
        found = {keys.get(name, name): value for name, value in config.items()}
        return {key: math.exp(value) if self._by_logarithm(key) else value for key, value in found.items()}

    def _by_logarithm(self, key: str) -> bool:
        return self.logarithms and key in self.space and kind_of(self.space[key])[0] == "loguniform"

    def _value(self, key: str, value: Any) -> Any:
        """A whole number that stands for a continuous knob is made one that can be changed by less than 1."""
        if self._by_logarithm(key):
            return math.log(max(value, kind_of(self.space[key])[1][0]))
        return float(value) if key in self.space and continuous(self.space[key]) else value

    def _distribution(self, key: str) -> Any:
        from ray import tune

        kind, values = kind_of(self.space[key])
        if kind == "choice":
            return tune.choice(values)
        if kind == "int":
            return tune.randint(values[0], values[1] + 1)
        if kind == "loguniform" and not self.logarithms:
            return tune.loguniform(*values)
        return tune.uniform(*self.ends(key))
