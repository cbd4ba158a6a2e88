"""What successive halving saves, and whether it finds as good a winner: 32 trials of the GAN on digits, both ways.

`python -m experiments.halving [--runs runs/train] [--data data/prepared]`; the classifier as `make repro` trains it;
fifteen minutes of two cores. The same 32 points are searched with ASHA and all in full, by the default objective and
within the default limits; near ties are repeated and the median decides, as in a sweep. Then each winner trains with
three more seeds, as long as a trial, and scored as trials are.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from benchmarks.results import record
from genlib.data.dataset import load_dataset
from genlib.distributed.session import session
from genlib.evaluation.evaluator import Evaluator, TrialScorer
from genlib.metrics.constraints import build_constraints
from genlib.params import load_params
from genlib.training.job import TrainingJob
from genlib.training.overrides import current_value
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import search
from genlib.tuning.searchers import SearchConfig, reports_per_trial
from genlib.tuning.training_trial import TrainingTrial
from genlib.tuning.trial import Trial

TRIALS, BOUND = 32, 0.4
REPEATS, SEEDS = (1, 2), (3, 4, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    asked = parser.parse_args()
    with session(), tempfile.TemporaryDirectory() as folder:
        both = sweeps(asked.runs / "classifier", asked.data, Path(folder))
    print(table(both))
    halved, full = both["random"], both["random_no_pruning"]
    share = spent(halved.trials) / spent(full.trials)
    detail = {
        "images": {"asha": spent(halved.trials), "full": spent(full.trials)},
        "winner": {"asha": halved.scores, "full": full.scores},
        "same_winner": halved.winner.number == full.winner.number,
        "no_worse": fmean(halved.scores) <= max(full.scores),
        "trials": TRIALS,
    }
    record("images of a search with ASHA, against all trials in full", share, BOUND, at_least=False, detail=detail)


class Outcome:
    """A search, its winner, and what the winner scores with each seed."""

    def __init__(self, trials: list[Trial], winner: Trial, scores: list[float]) -> None:
        self.trials, self.winner, self.scores = trials, winner, scores


def sweeps(judge: Path, data: Path, folder: Path) -> dict[str, Outcome]:
    run, plan = sought(judge, data, folder, load_params().tune.images_per_trial, "random")
    plan = replace(
        plan, points_to_evaluate=[{key: current_value(key, run.job.options()) for key in plan.space}], seed=1
    )
    return {
        name: searched(run, replace(plan, searcher=name), folder / name) for name in ("random", "random_no_pruning")
    }


def sought(judge: Path, data: Path, folder: Path, images: int, searcher: str) -> tuple[TrainingTrial, SearchConfig]:
    """A trial of the default GAN that sees so many images in full, and a search of its space within the default
    limits."""
    params, dataset = load_params(), load_dataset(data)
    section, tune, every = params.models["gan"], params.tune, max(1, images // reports_per_trial(searcher))
    config = replace(
        params.train_config("gan"), total_images=images, workers=0, report_every=every, checkpoint_every=every
    )
    job = TrainingJob("gan", section.model, section.objective, config, dataset)
    asked = tuple(dict.fromkeys((tune.metric, *tune.constraints)))
    rehearsal = TrialScorer(Evaluator.from_folder(judge, dataset), asked, 1000, 0)
    aim = SearchObjective(tune.metric, "lower", tuple(build_constraints(tune.constraints, rehearsal.baselines())))
    for_life = [key for key in section.search_space if key.startswith("model.")]
    plan = SearchConfig(section.search_space, aim, TRIALS, images, searcher, frozen_keys=for_life)
    return TrainingTrial(replace(job, dataset=dataset.load_for_workers()), rehearsal, folder), plan


def searched(run: TrainingTrial, plan: SearchConfig, folder: Path) -> Outcome:
    trials = search(
        run, plan, folder / "search", lambda trial: trial.has_ended and print(plan.searcher, trial, flush=True)
    )
    again = {
        trial.number: with_seeds(run, plan, trial, REPEATS, folder / f"repeats-{trial.number}")
        for trial in plan.search_objective.near_ties(trials)
    }
    winner = plan.search_objective.winner(trials, again)
    assert winner is not None, "no trial is within the limits"
    runs = with_seeds(run, plan, winner, SEEDS, folder / "seeds")
    return Outcome(trials, winner, [round(each.metrics[plan.search_objective.metric], 4) for each in runs])


def with_seeds(run: TrainingTrial, plan: SearchConfig, trial: Trial, seeds: Sequence[int], folder: Path) -> list[Trial]:
    """The trial's knobs once more with each of these seeds, in full."""
    points = [trial.hyperparameters | {"train.seed": seed} for seed in seeds]
    space = {**plan.space, "train.seed": {"choice": list(seeds)}}
    return search(
        run,
        replace(plan, space=space, num_trials=len(points), searcher="random_no_pruning", points_to_evaluate=points),
        folder,
    )


def spent(trials: list[Trial]) -> int:
    return sum(trial.images_seen for trial in trials)


def table(both: Mapping[str, Outcome]) -> str:
    """Markdown."""
    lines = ["| search | images | stopped early | winner | its KID over seeds |", "|---|---|---|---|---|"]
    for name, found in both.items():
        stopped = sum(trial.images_seen < max(t.images_seen for t in found.trials) for trial in found.trials)
        scores = f"{fmean(found.scores):.3f} ({min(found.scores):.3f} to {max(found.scores):.3f})"
        lines.append(f"| {name} | {spent(found.trials):,} | {stopped} | trial {found.winner.number} | {scores} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
