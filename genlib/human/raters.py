"""Answers of attentive raters, and the pairs that most raters call the same."""

from collections import defaultdict
from collections.abc import Iterable

from genlib.human.answers import Answer

MAX_CATCH_ERROR = 0.25  # share of wrong answers to catch items beyond which a rater is left out
MIN_ANSWERS = 20


def usable_answers(answers: Iterable[Answer], form: str) -> tuple[list[Answer], list[str]]:
    """Those in one form without catch items, and the excluded raters, who failed these or gave one answer
    throughout."""
    answers = [answer for answer in answers if answer.form == form]
    wrong, given = defaultdict[str, list[bool]](list), defaultdict[str, list[str]](list)
    for answer in answers:
        if answer.is_catch:
            wrong[answer.rater].append(answer.is_wrong)
        elif answer.truth:
            given[answer.rater].append(answer.answer)
    failed = {rater for rater, each in wrong.items() if sum(each) / len(each) > MAX_CATCH_ERROR}
    monotone = {rater for rater, each in given.items() if len(each) >= MIN_ANSWERS and len(set(each)) == 1}
    left_out = sorted(failed | monotone)
    return [answer for answer in answers if answer.rater not in left_out and not answer.is_catch], left_out


def majority_same(answers: Iterable[Answer]) -> dict[str, bool]:
    """`pair_id` -> whether more than half of the raters call the pair the same picture."""
    same = defaultdict[str, list[bool]](list)
    for answer in usable_answers(answers, "pair")[0]:
        same["-".join(answer.item.split("-")[-2:])].append(answer.answer == "same")
    return {name: sum(each) > len(each) / 2 for name, each in same.items()}
