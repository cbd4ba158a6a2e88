"""What holds for all tests: none tells the tracking server of whoever runs it, and those of a file stay together.

`make test` runs files beside each other in two processes of one thread each; those that need Ray share one cluster.
"""

import os

import pytest

os.environ.pop("MLFLOW_TRACKING_URI", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """A group goes to one process: a file, or all that need the cluster."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if "cluster" in item.path.parts else str(item.path)))
