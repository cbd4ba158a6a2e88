"""One Ray session for all the tests that need one."""

import pytest

from genlib.cluster.session import session


@pytest.fixture(scope="session", autouse=True)
def ray_session():
    with session() as cpus:
        yield cpus
