"""A search space in Ray's terms: numbers in the scale in which they are changed, and names without a slash, which ratio
keys have (`train.lr_d/lr_g`) and Ray takes for a step into a nested config."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Distribution = Mapping[str, list[Any]]
SearchSpace = Mapping[str, Distribution]
Hyperparameters = Mapping[str, Any]


def kind_and_args(distribution: Distribution) -> tuple[str, list[Any]]:
    """("loguniform", [low, high]) of {"loguniform": [low, high]}."""
    [(kind, args)] = distribution.items()
    return kind, args


def is_continuous(distribution: Distribution) -> bool:
    return kind_and_args(distribution)[0] in ("uniform", "loguniform")


@dataclass(frozen=True)
class SpaceCodec:
    """Translates between hyperparameters and Ray's config. `log_transform`: loguniform ones go by their logarithm, for
    a searcher that takes the space to be linear."""

    space: SearchSpace
    log_transform: bool = False

    def ray_name(self, key: str) -> str:
        return key.replace("/", "|")

    def bounds(self, key: str) -> list[float]:
        """Least and largest value of a continuous hyperparameter, as Ray sees them."""
        args = kind_and_args(self.space[key])[1]
        return [math.log(end) if self._is_log_transformed(key) else float(end) for end in args]

    def ray_distributions(self) -> dict[str, Any]:
        return {self.ray_name(key): self._ray_distribution(key) for key in self.space}

    def to_ray_config(self, hyperparameters: Hyperparameters) -> dict[str, Any]:
        return {self.ray_name(key): self._to_ray_value(key, value) for key, value in hyperparameters.items()}

    def from_ray_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        keys = {self.ray_name(key): key for key in self.space}
        values = {keys.get(name, name): value for name, value in config.items()}
        return {key: math.exp(value) if self._is_log_transformed(key) else value for key, value in values.items()}

    def _is_log_transformed(self, key: str) -> bool:
        return self.log_transform and "loguniform" in self.space.get(key, ())

    def _to_ray_value(self, key: str, value: Any) -> Any:
        """Continuous values become floats: a population changes whole numbers by whole numbers."""
        if self._is_log_transformed(key):
            return math.log(max(value, kind_and_args(self.space[key])[1][0]))
        return float(value) if key in self.space and is_continuous(self.space[key]) else value

    def _ray_distribution(self, key: str) -> Any:
        from ray import tune

        kind, args = kind_and_args(self.space[key])
        if kind == "choice":
            return tune.choice(args)
        if kind == "int":
            return tune.randint(args[0], args[1] + 1)
        return tune.uniform(*self.bounds(key)) if kind == "uniform" or self.log_transform else tune.loguniform(*args)
