"""Which question each metric answers, and the questions in the order in which a reader asks them."""

from __future__ import annotations

from collections.abc import Iterable

REAL, COPIED, ALIKE = "Real-looking?", "Copied?", "All alike?"
QUESTIONS: dict[str, tuple[str, ...]] = {
    REAL: (
        "precision",
        "density",
        "c2st",
        "inception_score",
        "frechet",
        "kid",
        "fld",
        "sharpness",
        "human_error_rate",
        "human_choice_error",
        "human_exposure",
    ),
    COPIED: ("copies", "authenticity", "copying", "fld_gap", "membership_auc"),
    ALIKE: ("support", "vendi", "coverage", "recall", "modes", "mode_kl", "ndb"),
    "As asked?": ("label_agreement", "one_to_many"),
    "Well translated?": ("label_preservation", "cycle_error"),
    "Real images probable?": ("nll", "ais", "elbo", "anomaly_auroc"),
    "Classes told?": ("accuracy", "ece", "bayes_accuracy", "probe_accuracy"),
}
OTHER_QUESTION = "What else?"
DIRECTIONS = ("_a2b", "_b2a")


def split_direction(name: str) -> tuple[str, str]:
    """The metric without the ending that says which way of a translator it is of, and that ending or ""."""
    ending = next((ending for ending in DIRECTIONS if name.endswith(ending)), "")
    return name.removesuffix(ending), ending


def question_of(name: str) -> str:
    """The question that the metric `name` answers."""
    metric, _ = split_direction(name)
    return next((asked for asked, metrics in QUESTIONS.items() if metric in metrics), OTHER_QUESTION)


def group_by_question(names: Iterable[str]) -> dict[str, list[str]]:
    """`names` under their questions; those of no known question come last."""
    order = [metric for metrics in QUESTIONS.values() for metric in metrics]
    groups: dict[str, list[str]] = {asked: [] for asked in (*QUESTIONS, OTHER_QUESTION)}
    for name in sorted(names, key=lambda name: [*order, split_direction(name)[0]].index(split_direction(name)[0])):
        groups[question_of(name)].append(name)
    return {asked: members for asked, members in groups.items() if members}
