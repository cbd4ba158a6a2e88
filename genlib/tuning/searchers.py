"""What to search, and the searchers by name: each proposes, stops and changes trials.

`random`: random points with asynchronous successive halving (ASHA, Li et al. 2020), which stops the worse two thirds of
the trials at every rung. `random_no_pruning`: the same points, every trial in full. `tpe`: a tree-structured Parzen
estimator (Bergstra et al. 2011) by Optuna, with ASHA. `multi_objective`: Optuna on two metrics at once, in full. `pbt`:
population-based training (Jaderberg et al. 2017): the worse quarter of a population takes over weights and
hyperparameters of the better one and changes the continuous ones. `pb2`: the same, with changes proposed by a Gaussian
process (Parker-Holder et al. 2020).
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from genlib.tuning.objective import SearchObjective
from genlib.tuning.space import Hyperparameters, SearchSpace, SpaceCodec, is_continuous, kind_and_args

REDUCTION_FACTOR, NUM_RUNGS = 3, 3
REPORTS_ASHA = 9  # of a trial in full: the first report is at the lowest rung
REPORTS_PBT = 27  # of a trial in full: a population may change at each
TIME_ATTR = "images_seen"


@dataclass(frozen=True)
class Resources:
    """What one trial gets: `cpu` and `gpu` may be fractions. With `workers` it trains on so many, each with a CPU."""

    cpu: float = 1.0
    gpu: float = 0.0
    workers: int = 0

    @property
    def bundle(self) -> dict[str, float]:
        """What Ray reserves for the trial; where workers train, one byte of memory, since nothing is refused."""
        return {"CPU": 0, "memory": 1} if self.workers else {"CPU": self.cpu, "GPU": self.gpu}


@dataclass(frozen=True)
class SearchConfig:
    """A search of `num_trials` trials that see `images_per_trial` images in full, with a `searcher` of this file.

    `space`: a distribution for each hyperparameter, {"loguniform": [low, high]}, uniform, int or {"choice": [...]}.
    `points_to_evaluate`: hyperparameters of the first trials. `frozen_keys`: those that a population does not change.
    """

    space: SearchSpace
    search_objective: SearchObjective
    num_trials: int
    images_per_trial: int
    searcher: str = "random"
    points_to_evaluate: Sequence[Hyperparameters] = ()
    time_limit_minutes: float | None = None
    resources: Resources = field(default_factory=Resources)
    seed: int = 0
    frozen_keys: Collection[str] = ()


@dataclass(frozen=True)
class Searcher:
    """Ray's parts of a search. `population_based`: all trials take turns, however few run at a time."""

    codec: SpaceCodec
    search_alg: Any
    scheduler: Any = None
    population_based: bool = False


def random_points(config: SearchConfig, *, prune: bool) -> Searcher:
    codec = SpaceCodec(config.space)
    return Searcher(codec, _random_search(config, codec), _asha_scheduler(config) if prune else None)


def optuna_points(config: SearchConfig, *, second_metric: bool) -> Searcher:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    codec = SpaceCodec(_space_with_points(config))
    points = [codec.to_ray_config(point) for point in config.points_to_evaluate]
    metric, mode = (["objective", "second_metric"], ["min", "min"]) if second_metric else ("objective", "min")
    search_alg = OptunaSearch(metric=metric, mode=mode, points_to_evaluate=points, seed=config.seed)
    return Searcher(codec, search_alg, None if second_metric else _asha_scheduler(config))


def population(config: SearchConfig, *, gaussian_process: bool) -> Searcher:
    """All trials together; what changes are the continuous hyperparameters that are not frozen, within their bounds."""
    codec = SpaceCodec(config.space, log_transform=gaussian_process)
    mutable = [key for key, each in config.space.items() if is_continuous(each) and key not in config.frozen_keys]
    bounds: dict[str, Any] = {codec.ray_name(key): codec.bounds(key) for key in mutable}
    args: dict[str, Any] = {
        "time_attr": TIME_ATTR,
        "metric": "objective",
        "mode": "min",
        "perturbation_interval": max(1, config.images_per_trial // REPORTS_PBT),
        "custom_explore_fn": partial(_clamp, bounds=bounds),
    }
    if gaussian_process:
        import numpy as np
        from ray.tune.schedulers.pb2 import PB2

        np.random.seed(config.seed)  # its only source of chance
        scheduler: Any = PB2(hyperparam_bounds=bounds, **args)
    else:
        from ray.tune.schedulers import PopulationBasedTraining

        distributions = codec.ray_distributions()
        random.seed(config.seed)  # its only source of chance
        scheduler = PopulationBasedTraining(hyperparam_mutations={name: distributions[name] for name in bounds}, **args)
    return Searcher(codec, _random_search(config, codec), scheduler, population_based=True)


SEARCHERS: dict[str, Callable[[SearchConfig], Searcher]] = {
    "random": partial(random_points, prune=True),
    "random_no_pruning": partial(random_points, prune=False),
    "tpe": partial(optuna_points, second_metric=False),
    "multi_objective": partial(optuna_points, second_metric=True),
    "pbt": partial(population, gaussian_process=False),
    "pb2": partial(population, gaussian_process=True),
}
POPULATION_BASED: tuple[str, ...] = ("pbt", "pb2")
NO_PRUNING: tuple[str, ...] = ("random_no_pruning", "multi_objective")


def reports_per_trial(searcher: str) -> int:
    """How often a trial in full should report to this searcher."""
    return REPORTS_PBT if searcher in POPULATION_BASED else REPORTS_ASHA


def _clamp(ray_config: dict[str, Any], bounds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    return ray_config | {name: min(max(ray_config[name], low), high) for name, (low, high) in bounds.items()}


def _asha_scheduler(config: SearchConfig) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    images = config.images_per_trial
    lowest_rung = max(1, images // REDUCTION_FACTOR ** (NUM_RUNGS - 1))
    return ASHAScheduler(TIME_ATTR, "objective", "min", images, lowest_rung, REDUCTION_FACTOR)


def _random_search(config: SearchConfig, codec: SpaceCodec) -> Any:
    from ray.tune.search.basic_variant import BasicVariantGenerator

    points = [codec.to_ray_config(point) for point in config.points_to_evaluate]
    return BasicVariantGenerator(points_to_evaluate=points, random_state=config.seed)


def _space_with_points(config: SearchConfig) -> SearchSpace:
    """The space with the choices of the points, which Optuna refuses where they are not among the others."""
    space = {}
    for key, distribution in config.space.items():
        kind, args = kind_and_args(distribution)
        points = config.points_to_evaluate if kind == "choice" else ()
        space[key] = {kind: [*args, *(point[key] for point in points if point[key] not in args)]}
    return space
