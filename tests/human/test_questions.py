"""What raters are asked, form by form, and which answers are right."""

import pytest
import torch
from corner_images import corner_images
from surveys import asked

from genlib.human.answers import Answer
from genlib.human.questions import QUESTION_FORMS, pair_id


@pytest.mark.parametrize("form", QUESTION_FORMS)
def test_items_and_answers_fit_their_form(form):
    page = QUESTION_FORMS[form]
    for trial in asked(form, 20):
        found = Answer("a", trial.name, next(iter(page.answers)), trial.truth, 1.0, "2026-01-01")
        assert found.form == form and found.is_catch == ("catch" in trial.name)
        assert len(trial.images) == len(page.alt_texts)
        assert trial.truth in page.answers or (trial.truth == "" and not found.is_catch)


@pytest.mark.parametrize("form", ["one", "timed", "two"])
def test_an_answer_counts_for_its_own_pictures_only(form):
    """Another seed or count may put another picture in the same place."""
    real, fake = torch.randint(256, (2, 20, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    names, again, other = (
        {trial.name for trial in QUESTION_FORMS[form].build(real, made, 0, "mark") if trial.truth != "real"}
        for made in (fake, fake.clone(), fake.flip(0))
    )
    assert names == again
    assert not {name for name in names & other if "catch" not in name}


def test_as_many_images_are_real_as_generated():
    truths = [trial.truth for trial in asked("one", 20) if "catch" not in trial.name]
    assert truths.count("real") == truths.count("fake") == 20
    assert sum("catch" in trial.name for trial in asked("one", 20)) == 3


def test_of_pairs_it_is_plain_what_is_the_same_and_what_is_not():
    plain = [trial for trial in asked("pair", 24) if "catch" in trial.name]
    assert [trial.truth for trial in plain] == ["same"] * 2 + ["different"] * 2
    assert all(torch.equal(*trial.images) == (trial.truth == "same") for trial in plain)


def test_of_two_images_the_real_one_is_as_often_on_either_side():
    for trial in asked("two", 24):
        left, right = ("real" if (pixels == 200).all() else "other" for pixels in trial.images)
        assert (left, right) == (("real", "other") if trial.truth == "left" else ("other", "real"))
    truths = [trial.truth for trial in asked("two", 24)]
    assert len(truths) == 26 and truths.count("left") == 13


def test_a_pair_is_named_by_its_pixels_in_either_order():
    one, other, third = corner_images(3, 0).pixels
    assert pair_id(one, other) == pair_id(other, one) != pair_id(one, third)
    third = one.clone()
    third[0, 0, 0] ^= 1
    assert pair_id(one, other) != pair_id(third, other)
