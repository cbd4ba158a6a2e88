"""Knobs as Ray is told them: one flat name each, and numbers in the scale in which it should step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Distribution = Mapping[str, list[Any]]
SearchSpace = Mapping[str, Distribution]
Hyperparameters = Mapping[str, Any]


def kind_and_args(distribution: Distribution) -> tuple[str, list[Any]]:
    """("loguniform", [low, high]) of {"loguniform": [low, high]}."""
    [(kind, values)] = distribution.items()
    return kind, values


def is_continuous(distribution: Distribution) -> bool:
    return kind_and_args(distribution)[0] in ("uniform", "loguniform")


@dataclass(frozen=True)
class SpaceCodec:
    """Between the knobs of `space` and Ray's flat config; `logarithms`: whether loguniform ones go by their logarithm,
    for whoever takes the space to be linear."""

    space: SearchSpace
    log_transform: bool = False

    def ray_name(self, key: str) -> str:
        """Ray takes a slash for a step into a nested config."""
        return key.replace("/", "|")

    def bounds(self, key: str) -> list[float]:
        """Of a continuous knob."""
        _, values = kind_and_args(self.space[key])
        return (
            [math.log(value) for value in values]
            if self._is_log_transformed(key)
            else [float(value) for value in values]
        )

    def ray_distributions(self) -> dict[str, Any]:
        """Ray's, by Ray's names."""
        return {self.ray_name(key): self._ray_distribution(key) for key in self.space}

    def to_ray_config(self, hyperparameters: Hyperparameters) -> dict[str, Any]:
        return {self.ray_name(key): self._to_ray_value(key, value) for key, value in hyperparameters.items()}

    def from_ray_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The knobs, those outside of the space too."""
        keys = {self.ray_name(key): key for key in self.space}
        found = {keys.get(name, name): value for name, value in config.items()}
        return {key: math.exp(value) if self._is_log_transformed(key) else value for key, value in found.items()}

    def _is_log_transformed(self, key: str) -> bool:
        return self.log_transform and key in self.space and kind_and_args(self.space[key])[0] == "loguniform"

    def _to_ray_value(self, key: str, value: Any) -> Any:
        """A whole number that stands for a continuous knob is made one that can be changed by less than 1."""
        if self._is_log_transformed(key):
            return math.log(max(value, kind_and_args(self.space[key])[1][0]))
        return float(value) if key in self.space and is_continuous(self.space[key]) else value

    def _ray_distribution(self, key: str) -> Any:
        from ray import tune

        kind, values = kind_and_args(self.space[key])
        if kind == "choice":
            return tune.choice(values)
        if kind == "int":
            return tune.randint(values[0], values[1] + 1)
        if kind == "loguniform" and not self.log_transform:
            return tune.loguniform(*values)
        return tune.uniform(*self.bounds(key))
