"""Who proposes the knobs of a trial, and who stops or changes it: one function a searcher, found by its name.

`random`: random points, with asynchronous successive halving (ASHA, Li et al. 2020), which stops the worse two thirds
of the trials at every rung. `random_full`: the same points, every trial in full. `tpe`: a tree-structured Parzen
estimator (Bergstra et al. 2011) by Optuna, with ASHA. `pareto`: Optuna on two metrics at once, in full. `pbt`: a
population whose worse quarter takes over weights and knobs of the better one and changes the continuous ones
(population-based training, Jaderberg et al. 2017). `pb2`: the same, with changes proposed by a Gaussian process
(Parker-Holder et al. 2020).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlib.tuning.space import Coding, Knobs, Space, continuous, kind_of

FACTOR, RUNGS = 3, 3
HALVED, CHANGED = 9, 27  # reports of a trial in full: the first at the lowest rung; one at each change of a population
PROGRESS = "images_seen"


@dataclass(frozen=True)
class Task:
    """What a searcher is made for: `images` are those of a trial in full, `points` the knobs of the first trials, and
    `for_life` knobs that a trial of a population keeps."""

    space: Space
    images: int
    seed: int = 0
    points: Sequence[Knobs] = ()
    for_life: Collection[str] = ()

    @property
    def changing(self) -> list[str]:
        """What a population changes: the continuous knobs that are not for life."""
        return [key for key, entry in self.space.items() if continuous(entry) and key not in self.for_life]


@dataclass(frozen=True)
class Searcher:
    """Ray's parts of a search; `populous` where all trials go on side by side, however few run at a time."""

    coding: Coding
    search_alg: Any
    scheduler: Any = None
    populous: bool = False


def random_halved(task: Task) -> Searcher:
    coding = Coding(task.space)
    return Searcher(coding, _at_random(task, coding), _halving(task))


def random_full(task: Task) -> Searcher:
    coding = Coding(task.space)
    return Searcher(coding, _at_random(task, coding))


def tpe(task: Task) -> Searcher:
    coding = Coding(_holding_points(task))
    return Searcher(coding, _optuna(task, coding, "objective", "min"), _halving(task))


def pareto(task: Task) -> Searcher:
    coding = Coding(_holding_points(task))
    return Searcher(coding, _optuna(task, coding, ["objective", "diversity"], ["min", "min"]))


def pbt(task: Task) -> Searcher:
    from ray.tune.schedulers import PopulationBasedTraining

    coding = Coding(task.space)
    distributions, ends = coding.distributions(), _ends(task, coding)
    random.seed(task.seed)  # the only source of chance that it knows
    scheduler = PopulationBasedTraining(
        hyperparam_mutations={name: distributions[name] for name in ends},
        custom_explore_fn=Inside(ends),
        **_population(task),
    )
    return Searcher(coding, _at_random(task, coding), scheduler, populous=True)


def pb2(task: Task) -> Searcher:
    import numpy as np
    from ray.tune.schedulers.pb2 import PB2

    coding = Coding(task.space, logarithms=True)
    ends = _ends(task, coding)
    np.random.seed(task.seed)  # the only source of chance that it knows
    scheduler = PB2(hyperparam_bounds=ends, custom_explore_fn=Inside(ends), **_population(task))
    return Searcher(coding, _at_random(task, coding), scheduler, populous=True)


SEARCHERS: dict[str, Callable[[Task], Searcher]] = {
    "random": random_halved,
    "random_full": random_full,
    "tpe": tpe,
    "pareto": pareto,
    "pbt": pbt,
    "pb2": pb2,
}
POPULATIONS: tuple[str, ...] = ("pbt", "pb2")
IN_FULL: tuple[str, ...] = ("random_full", "pareto")


class Inside:
    """Brings changed knobs back into the ends of their distributions."""

    def __init__(self, ends: Mapping[str, Sequence[float]]) -> None:
        self.ends = ends

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        kept = {name: min(max(config[name], low), high) for name, (low, high) in self.ends.items()}
        return config | kept


def _ends(task: Task, coding: Coding) -> dict[str, Any]:
    return {coding.name(key): coding.ends(key) for key in task.changing}


def reports(searcher: str) -> int:
    """How often a trial in full should report to this searcher."""
    return CHANGED if searcher in POPULATIONS else HALVED


def _population(task: Task) -> dict[str, Any]:
    every = max(1, task.images // CHANGED)
    return {"time_attr": PROGRESS, "metric": "objective", "mode": "min", "perturbation_interval": every}


def _halving(task: Task) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    lowest = max(1, task.images // FACTOR ** (RUNGS - 1))
    return ASHAScheduler(PROGRESS, "objective", "min", max_t=task.images, grace_period=lowest, reduction_factor=FACTOR)


def _at_random(task: Task, coding: Coding) -> Any:
    from ray.tune.search.basic_variant import BasicVariantGenerator

    return BasicVariantGenerator(
        points_to_evaluate=[coding.encode(point) for point in task.points], random_state=task.seed
    )


def _optuna(task: Task, coding: Coding, metric: str | list[str], mode: str | list[str]) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points = [coding.encode(point) for point in task.points]
    return OptunaSearch(metric=metric, mode=mode, points_to_evaluate=points, seed=task.seed)


def _holding_points(task: Task) -> Space:
    """The space with the choices of the points, which Optuna refuses where they are not among the others."""
    space = {}
    for key, entry in task.space.items():
        kind, values = kind_of(entry)
        wanted = [point[key] for point in task.points if kind == "choice" and point[key] not in values]
        space[key] = {kind: [*values, *wanted]}
    return space
