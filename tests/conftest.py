"""No test tells the tracking server of whoever runs it; and what may share a process does, where several run tests."""

import os

import pytest

os.environ.pop("MLFLOW_TRACKING_URI", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # beside each other, not on top; read as torch is imported


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A file's tests share its fixtures, and all that need Ray share one cluster."""
    for item in items:
        group = "cluster" if "cluster" in item.path.parts else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
