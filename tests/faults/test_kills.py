"""Kills at random progress: twelve with every run of the tests, more with the long ones, sixty by `make faults`."""

import pytest
from faults.kills import kills

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


def check(kind, count):
    found = kills(kind, -1, count)
    assert len(found) == count
    assert all(kill.well for kill in found), found


@pytest.mark.parametrize(("kind", "count"), [("worker", 1), ("driver", 5), ("server", 2), ("publisher", 3), ("dvc", 1)])
def test_nothing_is_lost(kind, count):
    check(kind, count)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "count"), [("driver of workers", 3), ("node", 2)])
def test_nothing_is_lost_where_many_processes_are(kind, count):
    check(kind, count)
