"""A database of MLflow's is made once, which takes seconds, and copied."""

import shutil

import pytest

from genlib.tracking.mlflow import connect


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("database")
    connect(f"sqlite:///{folder}/mlflow.db", folder)
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty_database, tmp_path, monkeypatch):
    """The project's own database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"
