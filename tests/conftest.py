"""What holds for all tests: none reaches the tracking server of whoever runs it, and those of a file stay together.

`make test` runs files beside each other in two processes of one thread each; in each, tests that need Ray share one
session.
"""

import os
import shutil
from pathlib import Path

import pytest

from genlib.distributed.session import configure_ray_env, session
from genlib.tracking.mlflow import connect

os.environ.pop("MLFLOW_TRACKING_URI", None)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
configure_ray_env()  # before a test imports ray


def pytest_collection_modifyitems(items):
    """Ray's own deprecation warnings are ignored."""
    for item in items:
        if "ray_session" in item.fixturenames:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="module")
def few_draws():
    """Baselines of 12 draws and 2 replicates of each planted fault, not of up to 499 and 24: for tests that evaluate
    many sets and do not ask how sure the verdicts are. With the real numbers: test_verdicts, test_baselines,
    test_calibration and what the guides run."""
    from genlib.evaluation import baselines, faults

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "MIN_DRAWS", 12)
        patch.setattr(baselines, "MAX_PAIRS", 0)
        patch.setattr(faults, "MIN_REPLICATES", 2)
        patch.setattr(faults, "MAX_REPLICATES", 2)
        yield


@pytest.fixture(scope="session")
def ray_session():
    """The number of CPUs of one Ray session, whose workers can import the tests' own modules."""
    os.environ["PYTHONPATH"] = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parent)])
    with session() as cpus:
        yield cpus


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database of MLflow's, which takes seconds to make, and is copied."""
    folder = tmp_path_factory.mktemp("database")
    connect(f"sqlite:///{folder}/mlflow.db", folder)
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty_database, tmp_path, monkeypatch):
    """The project's own database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"
