"""Which raters count, and what they agree on."""

from surveys import say

from genlib.human.raters import majority_same, usable_answers


def test_a_pair_is_the_same_where_more_than_half_say_so():
    votes = {"a-a": "s", "a-b": "sd", "a-c": "ssd", "a-d": "dds"}
    said = {"s": "same", "d": "different"}
    answers = [say(str(i), name, said[vote]) for name, each in votes.items() for i, vote in enumerate(each)]
    assert majority_same(answers) == {"a-a": True, "a-b": False, "a-c": True, "a-d": False}


def test_who_finds_no_pair_the_same_is_heard_unless_the_plain_ones_are_missed_too():
    plain = [("catch-same-0", "same"), ("catch-0", "different")]
    looks = [say("looks", name, truth, truth) for name, truth in plain]
    sleeps = [say("sleeps", name, "different", truth) for name, truth in plain]
    none = [say(rater, f"0-{i}", "different") for rater in ("looks", "sleeps") for i in range(50)]
    assert usable_answers([*looks, *sleeps, *none], "pair")[1] == ["sleeps"]
