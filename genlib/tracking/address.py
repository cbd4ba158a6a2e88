"""The address of the tracking server or database: checked, and never shown with its secrets."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from genlib.errors import InputError, mask_secrets, one_line

DEFAULT_PORTS = {"http": 80, "https": 443, "sqlite": 0, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
PROBE_TIMEOUT_S = 5  # for the first byte of an answer


def tracking_uri(project_dir: Path) -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite file `mlflow.db` in `home`.

    Raises:
        InputError: the address is malformed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_dir.resolve()}/mlflow.db"
    try:
        parts = urlsplit(uri)
        kind, _ = parts.scheme.partition("+")[0], parts.port
        place = parts.hostname if kind.startswith("http") else parts.path.strip("/")
        is_valid = kind in DEFAULT_PORTS and place not in (None, "", ":memory:")
    except ValueError:
        is_valid = False
    if not is_valid:
        expected = "http(s)://host:port, sqlite:////path or another database"
        raise InputError(f"MLFLOW_TRACKING_URI: got {uri!r}, expected {expected}")
    return uri


def require_driver(uri: str) -> None:
    """Raise InputError for a database that nothing installed here can open."""
    if uri.startswith(("http", "sqlite")):
        return
    try:
        from sqlalchemy import make_url

        make_url(uri).get_dialect().import_dbapi()
    except Exception as error:  # of SQLAlchemy for an unknown driver, of the import of a known one
        expected = "a database whose driver is installed, such as psycopg, pymysql or pyodbc"
        raise InputError(f"MLFLOW_TRACKING_URI: got {uri!r} ({one_line(error)}), expected {expected}") from error


class ServerUnreachable(ConnectionError):
    """The tracking server does not answer."""

    def __init__(self, uri: str, reason: Exception | str) -> None:
        super().__init__(f"{mask_secrets(uri)} does not answer ({one_line(reason)})")


def sqlite_path(uri: str) -> Path | None:
    return Path(uri.partition("///")[2].partition("?")[0]) if uri.startswith("sqlite") else None


def check_reachable(uri: str) -> None:
    """Fail within seconds where a server is down or silent, rather than after MLflow's own retries."""
    parts = urlsplit(uri)
    if not parts.hostname:
        return
    port = parts.port or DEFAULT_PORTS[parts.scheme.partition("+")[0]]
    try:
        with socket.create_connection((parts.hostname, port), timeout=PROBE_TIMEOUT_S) as connection:
            if parts.scheme == "http":
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                connection.recv(1)
    except OSError as error:
        raise ServerUnreachable(uri, error) from error


def artifacts_dir(uri: str, project_dir: Path) -> Path:
    """The folder of artifacts beside a SQLite file, or in the project."""
    path = sqlite_path(uri)
    return (path.parent if path else project_dir).resolve() / "mlartifacts"
