"""`genlib promote`: what is no evaluated generator is refused."""

import pytest
from evaluated_models import models as models
from refusals import refusal


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["promote", "nothing"], "not a model folder"),
        (["promote", "classifier"], "decodes no codes"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(models, monkeypatch, capsys, arguments, found):
    monkeypatch.chdir(models)
    assert found in refusal(capsys, arguments)
