"""A sweep of one model: search its space on validation images, then rerun near ties with other seeds."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from genlib.evaluation.evaluator import TrialScorer
from genlib.files import file_sha256, json_sha256
from genlib.metrics.constraints import build_constraints
from genlib.metrics.registry import get_metric
from genlib.params import TuneSection
from genlib.training.job import TrainingJob
from genlib.training.overrides import current_value
from genlib.tuning.console import TrialConsole
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import search
from genlib.tuning.searchers import Resources, SearchConfig
from genlib.tuning.space import SearchSpace
from genlib.tuning.training_trial import TrainingTrial
from genlib.tuning.trial import OUTCOME_COLUMNS, Trial

PACKAGE = Path(__file__).parent.parent
SweepCallback = Callable[[str, Trial], None]  # called with "trial" or "repeat" and whatever trial changes


@dataclass(frozen=True)
class Sweep:
    """The search for better params of `job`; `folder` keeps the state of its sweeps, on a disk that every node sees."""

    title: str
    job: TrainingJob
    scorer: TrialScorer
    tune_params: TuneSection
    search_space: SearchSpace
    folder: Path

    @cached_property
    def objective(self) -> SearchObjective:
        section = self.tune_params
        return SearchObjective(
            section.metric,
            "lower" if get_metric(section.metric).better == "lower" else "higher",
            tuple(build_constraints(section.constraints, self.scorer.baselines())),
            section.second_metric if section.searcher == "multi_objective" else "",
        )

    @cached_property
    def current_values(self) -> dict[str, Any]:
        """The hyperparameters of the search space as `job` has them."""
        return {key: current_value(key, self.job.options()) for key in self.search_space}

    @cached_property
    def state_dir(self) -> Path:
        """Named by a digest of all that decides the trials, with the code that scores them."""
        code = [*sorted((PACKAGE / "metrics").rglob("*.py")), PACKAGE / "evaluation/evaluator.py"]
        facts = {
            "job": self.job.digest,
            "search_space": self.search_space,
            "tune": self.tune_params.model_dump(exclude={"models", "refit"}),
            "trial_scorer": [self.scorer.n, self.scorer.seed, self.scorer.evaluator.card["sha256"]],
            "code": [file_sha256(path) for path in code],
        }
        return self.folder / json_sha256(facts)[:16]

    @cached_property
    def trainable(self) -> TrainingTrial:
        num_threads = max(1, int(self.tune_params.resources.cpu))
        job = replace(self.job, dataset=self.job.dataset.load_for_workers(), checkpoint_dir=None)
        return TrainingTrial(job, self.scorer, self.state_dir / "workers", num_threads)

    def run(self, on_trial: SweepCallback) -> tuple[list[Trial], dict[int, list[Trial]]]:
        """The trials, the first with the current params, and reruns of near ties by the number of their trial."""
        for other in self.folder.glob("*"):
            if other != self.state_dir:
                shutil.rmtree(other)
        section = self.tune_params
        config = SearchConfig(
            self.search_space,
            self.objective,
            section.trials,
            self.job.train.total_images,
            section.searcher,
            points_to_evaluate=[self.current_values],
            time_limit_minutes=section.time_limit_minutes,
            resources=Resources(**section.resources.model_dump()),
            seed=self.job.train.seed,
            frozen_keys=[key for key in self.search_space if key.startswith("model.")],
        )
        trials = self._search(config, "trial", on_trial)
        return trials, self._rerun_near_ties(trials, config, on_trial)

    def _rerun_near_ties(
        self, trials: Sequence[Trial], config: SearchConfig, on_trial: SweepCallback
    ) -> dict[int, list[Trial]]:
        near_ties, num_reruns = self.objective.near_ties(trials), self.tune_params.finalist_seeds - 1
        if len(near_ties) < 2 or not num_reruns:
            return {}
        seeds = [self.job.train.seed + 1 + rerun for rerun in range(num_reruns)]
        points = [trial.hyperparameters | {"train.seed": seed} for trial in near_ties for seed in seeds]
        space = {**self.search_space, "train.seed": {"choice": seeds}}
        config = replace(config, space=space, num_trials=len(points), points_to_evaluate=points)
        config = replace(config, searcher="random_no_pruning", time_limit_minutes=None)
        reruns = iter(self._search(config, "repeat", on_trial))
        return {trial.number: [next(reruns) for _ in seeds] for trial in near_ties}

    def _search(self, config: SearchConfig, kind: str, on_trial: SweepCallback) -> list[Trial]:
        with closing(TrialConsole(self.title, self.objective, self.scorer.metrics, config.num_trials, kind)) as console:

            def show_and_pass_on(trial: Trial) -> None:
                console(trial)
                on_trial(kind, trial)

            return search(self.trainable, config, self.state_dir / f"{kind}s", show_and_pass_on)

    def trials_table(
        self, trials: Sequence[Trial], repeats: Mapping[int, Sequence[Trial]], winner: Trial | None
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Columns and rows of trials.csv: the trials, then the repeats of near ties."""
        metric, *others = self.scorer.metrics
        columns = ["trial", "repeat_of", "seed", *self.search_space, metric]
        columns += [*(f"{metric}_{part}" for part in ("low", "high", "median")), *others, *OUTCOME_COLUMNS]
        front = replace(self.objective, second_metric=self.tune_params.second_metric).pareto_front(trials)
        rows: list[dict[str, Any]] = []
        for trial in trials:
            scores = [run.metrics[metric] for run in [trial, *repeats.get(trial.number, ())] if metric in run.metrics]
            middle = median(scores) if scores and trial.number in repeats else None
            marks = {"winner": trial is winner, "front": trial in front, f"{metric}_median": middle}
            rows.append(self._trial_row(trial) | marks)
        for number, reruns in repeats.items():
            for rerun in reruns:
                rows.append(self._trial_row(rerun) | {"trial": len(rows), "repeat_of": number})
        return columns, [{key: row[key] for key in columns if key in row} for row in rows]

    def _trial_row(self, trial: Trial) -> dict[str, Any]:
        return {
            **trial.metrics,
            **trial.hyperparameters,
            **asdict(trial),
            "trial": trial.number,
            "seed": trial.hyperparameters.get("train.seed", self.job.train.seed),
            "feasible": self.objective.is_feasible(trial),
            "winner": False,
            "front": False,
            "health": trial.health,
            "seconds": round(trial.seconds, 1),
            "spent": trial.cumulative_images,
        }
