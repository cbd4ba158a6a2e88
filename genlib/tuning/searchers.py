"""Who proposes the knobs of a trial, and who stops or changes it: one function a searcher, found by its name.

`random`: random points, with asynchronous successive halving (ASHA, Li et al. 2020), which stops the worse two thirds
of the trials at every rung. `random_no_pruning`: the same points, every trial in full. `tpe`: a tree-structured Parzen
estimator (Bergstra et al. 2011) by Optuna, with ASHA. `multi_objective`: Optuna on two metrics at once, in full. `pbt`: a
population whose worse quarter takes over weights and knobs of the better one and changes the continuous ones
(population-based training, Jaderberg et al. 2017). `pb2`: the same, with changes proposed by a Gaussian process
(Parker-Holder et al. 2020).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlib.tuning.space import Hyperparameters, SearchSpace, SpaceCodec, is_continuous, kind_and_args

REDUCTION_FACTOR, NUM_RUNGS = 3, 3
REPORTS_ASHA, REPORTS_PBT = (
    9,
    27,
)  # reports of a trial in full: the first at the lowest rung; one at each change of a population
TIME_ATTR = "images_seen"


@dataclass(frozen=True)
class SearchSpec:
    """What a searcher is made for: `images` are those of a trial in full, `points` the knobs of the first trials, and
    `for_life` knobs that a trial of a population keeps."""

    space: SearchSpace
    images_per_trial: int
    seed: int = 0
    points_to_evaluate: Sequence[Hyperparameters] = ()
    frozen_keys: Collection[str] = ()

    @property
    def mutable_keys(self) -> list[str]:
        """What a population changes: the continuous knobs that are not for life."""
        return [key for key, entry in self.space.items() if is_continuous(entry) and key not in self.frozen_keys]


@dataclass(frozen=True)
class Searcher:
    """Ray's parts of a search; `populous` where all trials go on side by side, however few run at a time."""

    codec: SpaceCodec
    search_alg: Any
    scheduler: Any = None
    population_based: bool = False


def random_asha(spec: SearchSpec) -> Searcher:
    coding = SpaceCodec(spec.space)
    return Searcher(coding, _random_search(spec, coding), _asha_scheduler(spec))


def random_no_pruning(spec: SearchSpec) -> Searcher:
    coding = SpaceCodec(spec.space)
    return Searcher(coding, _random_search(spec, coding))


def tpe(spec: SearchSpec) -> Searcher:
    coding = SpaceCodec(_space_with_points(spec))
    return Searcher(coding, _optuna_search(spec, coding, "objective", "min"), _asha_scheduler(spec))


def multi_objective(spec: SearchSpec) -> Searcher:
    coding = SpaceCodec(_space_with_points(spec))
    return Searcher(coding, _optuna_search(spec, coding, ["objective", "diversity"], ["min", "min"]))


def pbt(spec: SearchSpec) -> Searcher:
    from ray.tune.schedulers import PopulationBasedTraining

    coding = SpaceCodec(spec.space)
    distributions, ends = coding.ray_distributions(), _mutation_bounds(spec, coding)
    random.seed(spec.seed)  # the only source of chance that it knows
    scheduler = PopulationBasedTraining(
        hyperparam_mutations={name: distributions[name] for name in ends},
        custom_explore_fn=ClampToBounds(ends),
        **_population_args(spec),
    )
    return Searcher(coding, _random_search(spec, coding), scheduler, population_based=True)


def pb2(spec: SearchSpec) -> Searcher:
    import numpy as np
    from ray.tune.schedulers.pb2 import PB2

    coding = SpaceCodec(spec.space, log_transform=True)
    ends = _mutation_bounds(spec, coding)
    np.random.seed(spec.seed)  # the only source of chance that it knows
    scheduler = PB2(hyperparam_bounds=ends, custom_explore_fn=ClampToBounds(ends), **_population_args(spec))
    return Searcher(coding, _random_search(spec, coding), scheduler, population_based=True)


SEARCHERS: dict[str, Callable[[SearchSpec], Searcher]] = {
    "random": random_asha,
    "random_no_pruning": random_no_pruning,
    "tpe": tpe,
    "multi_objective": multi_objective,
    "pbt": pbt,
    "pb2": pb2,
}
POPULATION_BASED: tuple[str, ...] = ("pbt", "pb2")
NO_PRUNING: tuple[str, ...] = ("random_no_pruning", "multi_objective")


class ClampToBounds:
    """Brings changed knobs back into the ends of their distributions."""

    def __init__(self, bounds: Mapping[str, Sequence[float]]) -> None:
        self.bounds = bounds

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        kept = {name: min(max(config[name], low), high) for name, (low, high) in self.bounds.items()}
        return config | kept


def _mutation_bounds(spec: SearchSpec, codec: SpaceCodec) -> dict[str, Any]:
    return {codec.ray_name(key): codec.bounds(key) for key in spec.mutable_keys}


def reports_per_trial(searcher: str) -> int:
    """How often a trial in full should report to this searcher."""
    return REPORTS_PBT if searcher in POPULATION_BASED else REPORTS_ASHA


def _population_args(spec: SearchSpec) -> dict[str, Any]:
    every = max(1, spec.images_per_trial // REPORTS_PBT)
    return {"time_attr": TIME_ATTR, "metric": "objective", "mode": "min", "perturbation_interval": every}


def _asha_scheduler(spec: SearchSpec) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    lowest = max(1, spec.images_per_trial // REDUCTION_FACTOR ** (NUM_RUNGS - 1))
    return ASHAScheduler(
        TIME_ATTR,
        "objective",
        "min",
        max_t=spec.images_per_trial,
        grace_period=lowest,
        reduction_factor=REDUCTION_FACTOR,
    )


def _random_search(spec: SearchSpec, codec: SpaceCodec) -> Any:
    from ray.tune.search.basic_variant import BasicVariantGenerator

    return BasicVariantGenerator(
        points_to_evaluate=[codec.to_ray_config(point) for point in spec.points_to_evaluate], random_state=spec.seed
    )


def _optuna_search(spec: SearchSpec, codec: SpaceCodec, metric: str | list[str], mode: str | list[str]) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points = [codec.to_ray_config(point) for point in spec.points_to_evaluate]
    return OptunaSearch(metric=metric, mode=mode, points_to_evaluate=points, seed=spec.seed)


def _space_with_points(spec: SearchSpec) -> SearchSpace:
    """The space with the choices of the points, which Optuna refuses where they are not among the others."""
    space = {}
    for key, entry in spec.space.items():
        kind, values = kind_and_args(entry)
        wanted = [point[key] for point in spec.points_to_evaluate if kind == "choice" and point[key] not in values]
        space[key] = {kind: [*values, *wanted]}
    return space
