"""Experiments say what they cost and what to expect, take the same options, and go on from their finished rows."""

from pathlib import Path

import pytest

from experiments.__main__ import NAMES
from experiments.common import FinishedRows, markdown_table, new_parser

FOLDER = Path(__file__).parents[2] / "experiments"


def test_every_experiment_is_in_the_list():
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "__main__", "common"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_headed_by_its_command_its_cost_and_what_to_expect(name):
    text = (FOLDER / f"{name}.py").read_text()
    head = text.split('"""')[1]
    assert f"\nCommand: `python -m experiments.{name} " in head and "\nCost: " in head and "\nExpect: " in head
    assert "new_parser(__doc__" in text and "open_state(" in text


def test_data_and_state_are_options_of_all():
    given = new_parser("", "a folder").parse_args(["--data", "a", "--state", "b"])
    assert (given.data, given.state) == (Path("a"), Path("b"))


def test_a_finished_row_is_not_computed_again(tmp_path):
    assert FinishedRows(tmp_path).get("a", lambda n: {"n": n, "inf": float("inf")}, 3)["n"] == 3
    again = FinishedRows(tmp_path)
    assert again.get("a", pytest.fail)["inf"] == float("inf") and again.get("b", list) == []


def test_a_table_has_a_ruler_below_its_columns():
    assert markdown_table(("a", "b"), [("x", "1")]).splitlines() == ["| a | b |", "|:--|--:|", "| x | 1 |"]
