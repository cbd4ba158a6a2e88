"""Answers of attentive raters, and the pairs that most raters call the same."""

from collections.abc import Iterable

from genlib.human.answers import Answer

MAX_CATCH_ERROR = 0.25  # share of wrong answers to catch items beyond which a rater is left out
MIN_ANSWERS = 20


def usable_answers(answers: Iterable[Answer], form: str) -> tuple[list[Answer], list[str]]:
    """The answers in one form without catch items, and the names of the excluded raters.

    Excluded are raters who failed the catch items, or gave one answer to all items that have a right one.
    """
    answers = [answer for answer in answers if answer.form == form]
    wrong: dict[str, list[bool]] = {}
    given: dict[str, list[str]] = {}
    for answer in answers:
        if answer.is_catch:
            wrong.setdefault(answer.rater, []).append(answer.is_wrong)
        elif answer.truth:
            given.setdefault(answer.rater, []).append(answer.answer)
    failed = {rater for rater, each in wrong.items() if sum(each) / len(each) > MAX_CATCH_ERROR}
    monotone = {rater for rater, each in given.items() if len(each) >= MIN_ANSWERS and len(set(each)) == 1}
    left_out = sorted(failed | monotone)
    return [answer for answer in answers if answer.rater not in left_out and not answer.is_catch], left_out


def majority_same(answers: Iterable[Answer]) -> dict[str, bool]:
    """`pair_id` -> whether more than half of the raters call the pair the same picture."""
    same: dict[str, list[bool]] = {}
    for answer in usable_answers(answers, "pair")[0]:
        same.setdefault("-".join(answer.item.split("-")[-2:]), []).append(answer.answer == "same")
    return {name: sum(each) > len(each) / 2 for name, each in same.items()}
