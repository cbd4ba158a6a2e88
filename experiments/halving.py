"""What successive halving saves, and whether it finds as good a winner: 32 trials of the GAN on digits, both ways.

The same 32 points are searched with ASHA and all in full, by the default objective and within the default limits; near
ties are repeated and the median decides, as in a sweep. Then each winner trains with three more seeds, as long as a
trial, and scored as trials are.

Command: `python -m experiments.halving [--data PATH] [--state FOLDER] [--runs FOLDER]`, after `make repro`, which
trains the classifier.
Cost: fifteen minutes of two cores.
Expect: ASHA spends 26 % of the images; the KID of its winner over seeds is 0.169 (0.138 to 0.231).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.results import record
from experiments.common import FinishedRows, markdown_table, new_parser, open_state
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
    parser = new_parser(__doc__, "prepared data [data/prepared]", Path("data/prepared"))
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    args = parser.parse_args()
    with session(), open_state(args.state) as state:
        finished = FinishedRows(state)
        both = {
            name: Outcome(**finished.get(name, search_and_repeat, args.runs / "classifier", args.data, state, name))
            for name in ("random", "random_no_pruning")
        }
    print(format_table(both))
    halved, full = both["random"], both["random_no_pruning"]
    detail = {
        "images": {"asha": halved.images, "full": full.images},
        "winner": {"asha": halved.scores, "full": full.scores},
        "same_winner": halved.winner == full.winner,
        "no_worse": fmean(halved.scores) <= max(full.scores),
        "trials": TRIALS,
    }
    share = halved.images / full.images
    record("images of a search with ASHA, against all trials in full", share, BOUND, at_least=False, detail=detail)


@dataclass(frozen=True)
class Outcome:
    """Of a search: the images that it spent, the trials that it stopped early, its winner, and that one's score with
    each seed."""

    images: int
    stopped: int
    winner: int
    scores: list[float]


def search_and_repeat(classifier: Path, data: Path, state: Path, searcher: str) -> dict[str, Any]:
    """The search, its near ties with other seeds, and its winner with three more."""
    trial, config = build_search(classifier, data, state / searcher, load_params().tune.images_per_trial, "random")
    point = {key: current_value(key, trial.job.options()) for key in config.space}
    config = replace(config, searcher=searcher, points_to_evaluate=[point], seed=1)
    return asdict(run_search(trial, config, state / searcher))


def build_search(
    classifier: Path, data: Path, folder: Path, images: int, searcher: str
) -> tuple[TrainingTrial, SearchConfig]:
    """A trial of the default GAN that sees so many images in full, and a search of its space within the default
    limits."""
    params, dataset = load_params(), load_dataset(data)
    section, tune, every = params.models["gan"], params.tune, max(1, images // reports_per_trial(searcher))
    config = replace(
        params.train_config("gan"), total_images=images, workers=0, report_every=every, checkpoint_every=every
    )
    job = TrainingJob("gan", section.model, section.objective, config, dataset)
    asked = tuple(dict.fromkeys((tune.metric, *tune.constraints)))
    rehearsal = TrialScorer(Evaluator.from_folder(classifier, dataset), asked, 1000, 0)
    aim = SearchObjective(tune.metric, "lower", tuple(build_constraints(tune.constraints, rehearsal.baselines())))
    for_life = [key for key in section.search_space if key.startswith("model.")]
    plan = SearchConfig(section.search_space, aim, TRIALS, images, searcher, frozen_keys=for_life)
    return TrainingTrial(replace(job, dataset=dataset.load_for_workers()), rehearsal, folder), plan


def run_search(run: TrainingTrial, config: SearchConfig, folder: Path) -> Outcome:
    objective = config.search_objective

    def print_ended(trial: Trial) -> None:
        if trial.has_ended:
            print(config.searcher, trial, flush=True)

    trials = search(run, config, folder / "search", print_ended)
    repeats = {
        trial.number: repeat_trial(run, config, trial, REPEATS, folder / f"repeats-{trial.number}")
        for trial in objective.near_ties(trials)
    }
    winner = objective.winner(trials, repeats)
    assert winner is not None, "no trial is within the limits"
    runs = repeat_trial(run, config, winner, SEEDS, folder / "seeds")
    images = [trial.images_seen for trial in trials]
    scores = [round(each.metrics[objective.metric], 4) for each in runs]
    return Outcome(sum(images), sum(seen < max(images) for seen in images), winner.number, scores)


def repeat_trial(
    run: TrainingTrial, plan: SearchConfig, trial: Trial, seeds: Sequence[int], folder: Path
) -> list[Trial]:
    """The trial's knobs once more with each of these seeds, in full."""
    points = [trial.hyperparameters | {"train.seed": seed} for seed in seeds]
    space = {**plan.space, "train.seed": {"choice": list(seeds)}}
    return search(
        run,
        replace(plan, space=space, num_trials=len(points), searcher="random_no_pruning", points_to_evaluate=points),
        folder,
    )


def format_table(both: Mapping[str, Outcome]) -> str:
    rows = []
    for name, found in both.items():
        scores = f"{fmean(found.scores):.3f} ({min(found.scores):.3f} to {max(found.scores):.3f})"
        rows.append((name, f"{found.images:,}", f"{found.stopped}", f"trial {found.winner}", scores))
    return markdown_table(("search", "images", "stopped early", "winner", "its KID over seeds"), rows)


if __name__ == "__main__":
    main()
