"""Twelve kills of the sixty that `make faults` makes."""

import pytest
from kills import kills

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
HOW_MANY = {"worker": 3, "driver of workers": 3, "node": 3, "server": 3}


@pytest.mark.parametrize("kind", HOW_MANY)
def test_nothing_is_lost(kind):
    found = kills(kind, -1, HOW_MANY[kind])
    assert len(found) == HOW_MANY[kind]
    assert all(kill.well for kill in found), found
