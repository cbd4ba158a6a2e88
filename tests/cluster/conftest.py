"""One Ray session for all the tests that need one."""

import os
from pathlib import Path

import pytest

from genlib.distributed.session import configure_ray_env, session

HERE = Path(__file__).parent
configure_ray_env()  # before a test imports ray


def pytest_collection_modifyitems(items):
    """Ray's own deprecation warnings are not ours to mend."""
    for item in items:
        if "cluster" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session", autouse=True)
def ray_session():
    """Its workers can import the tests' own modules."""
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (HERE, HERE.parent)))
    with session() as cpus:
        yield cpus
