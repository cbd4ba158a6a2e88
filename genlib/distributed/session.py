"""One Ray session: joined where `RAY_ADDRESS` names a cluster, started on this machine otherwise."""

import logging
import os
import secrets
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from genlib.distributed.orphans import driver_folder, end_orphans, tag_children
from genlib.errors import InputError, WorkersLost, one_line
from genlib.files import write_text

IMPORT_ROOT = Path(__file__).parent.parent.parent
MAX_TMPDIR_BYTES = 30  # of the 107 of a socket's path, the rest is Ray's
WAITING_INTERVAL_S = 30.0
HTTP2_SETTINGS = b"\x04"  # the type of the first frame, at its fourth byte; Ray speaks gRPC
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0" + HTTP2_SETTINGS + bytes(5)
LOCAL_ADDRESSES = ("", "local")  # values of RAY_ADDRESS for a Ray of its own
_RAY_ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def configure_ray_env() -> None:
    """Set the environment of Ray, before it is imported; what the user has set stays."""
    for key, value in _RAY_ENV.items():
        os.environ.setdefault(key, value)
    if "ray" not in sys.modules:  # read once, when Ray is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    with suppress(OSError, RuntimeError):  # there is none, or it is another's
        token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
        if token.stat().st_mode & 0o077:  # Ray lets others read what it writes
            token.chmod(0o600)
    paths = [str(IMPORT_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def silence_ray_loggers() -> None:
    """Let Ray's own loggers, set up when it is imported, report errors only."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are reported by name


@contextmanager
def session() -> Iterator[int]:
    """A Ray session for the length of a `with` block, or the one that is open already; yields its number of CPUs.
    Raises InputError where none can be joined or started, WorkersLost where Ray dies during the block."""
    configure_ray_env()
    address = os.environ.get("RAY_ADDRESS", "")
    if is_local := address in LOCAL_ADDRESSES:
        _keep_to_this_machine()
    import ray
    from ray.exceptions import RayError, RayTaskError

    with ExitStack() as stack:
        if not ray.is_initialized():
            folder = stack.enter_context(driver_folder(_short_temp_dir())) if is_local else None
            stack.callback(ray.shutdown)
            _start_local(folder / "ray") if folder else _join_cluster(address)
        try:
            yield cluster_total("CPU")
        except RayTaskError:  # raised by the code of a worker, which is alive
            raise
        except RayError as error:
            found = f"{type(error).__name__}, {one_line(error)}"
            raise WorkersLost(f"Ray at {address or 'this machine'} has died: {found}") from error


def cluster_total(resource: str) -> int:
    """How many whole units of a resource ("CPU", "GPU") the nodes have."""
    return sum(int(node["Resources"].get(resource, 0)) for node in alive_nodes())


def alive_nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def require_shared_storage(storage_path: str) -> None:
    """Raise InputError where `storage_path` is a folder that a node does not see."""
    probe = Path(storage_path).resolve() / f".seen-{secrets.token_hex(8)}"
    if "://" in storage_path or len(alive_nodes()) < 2:
        return
    write_text("", probe)
    try:
        blind = blind_nodes(probe)
    finally:
        probe.unlink()
    if blind:
        got = f"{storage_path!r}, which {', '.join(blind)} does not see"
        raise InputError(f"params.yaml: ray.storage_path: got {got}, expected a folder that every node sees")


def blind_nodes(path: Path) -> list[str]:
    """The addresses of the nodes on which nothing is at `path`."""
    import ray

    nodes = alive_nodes()
    looks = [_on_node(ray.remote(num_cpus=0)(_exists), node["NodeID"]).remote(path) for node in nodes]
    seen = ray.get(looks, timeout=60)
    return [node["NodeManagerAddress"] for node, sees in zip(nodes, seen, strict=True) if not sees]


def _exists(path: Path) -> bool:
    return path.exists()


@contextmanager
def report_waiting(title: str, log: Callable[[str], None]) -> Iterator[None]:
    """Look every 30 s, while the body runs, what it has been waiting for since the last time, and say so: the same
    words at the 1st, 2nd, 4th, 8th ... time."""
    ended = threading.Event()

    def watch() -> None:
        before: dict[str, str] = {}
        times: Counter[str] = Counter()
        while not ended.wait(WAITING_INTERVAL_S):
            with suppress(Exception):  # whatever Ray answers while it dies, the body fails by itself
                pending = _pending_groups()
                found = {pending[group] for group in pending.keys() & before}
                times.update(found)
                for words in sorted(words for words in found if times[words].bit_count() == 1):
                    log(f"{title}: waits for {words}")
                before = pending

    thread = threading.Thread(target=watch, daemon=True, name="waiting")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2.0)  # it may hang in a call to a head that has died


def _pending_groups() -> dict[str, str]:
    """What each placement group of this job that has no place yet asks for, and what of that is free."""
    import ray
    from ray.util import placement_group_table

    job, groups = ray.get_runtime_context().get_job_id(), placement_group_table()
    pending = [key for key in groups if key.endswith(job) and groups[key]["state"] in ("PENDING", "RESCHEDULING")]
    return {key: describe_resources(sum(map(Counter, groups[key]["bundles"].values()), Counter())) for key in pending}


def describe_resources(asked: Mapping[str, float]) -> str:
    """What is asked, and how much of it the cluster has and has free."""
    import ray

    total, free = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]
    there = (f"{free.get(name, 0):g} of {total.get(name, 0):g} {name} are free" for name in asked)
    return f"{', '.join(f'{amount:g} {name}' for name, amount in asked.items())}; {', '.join(there)}"


def this_node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def actor_on_node(node_id: str, cls: type, *args: Any) -> Any:
    """An actor of `cls(*args)` that runs on this node and takes no CPU."""
    import ray

    return _on_node(ray.remote(num_cpus=0)(cls), node_id).remote(*args)


def _on_node(remote: Any, node_id: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))


def check_environment() -> None:
    """Raise InputError where no Ray listens at `RAY_ADDRESS`, or no folder is fit for a Ray of its own; before Ray,
    which tries for minutes, is imported."""
    address = os.environ.get("RAY_ADDRESS", "")
    if address in LOCAL_ADDRESSES:
        _short_temp_dir()
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdigit():
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as found:
                found.sendall(HTTP2_HELLO)
                if os.environ.get("RAY_USE_TLS", "0") == "0" and found.recv(4)[3:] != HTTP2_SETTINGS:
                    raise ConnectionError("what listens there is no Ray")
    except (OSError, OverflowError) as error:
        raise _bad_address(address, error) from error


def _bad_address(address: str, error: Exception) -> InputError:
    expected = "host:port of a running head, as `ray start --head` prints it, with the same Python and Ray"
    return InputError(f"RAY_ADDRESS: got {address!r} ({one_line(error, 160)}), expected {expected}")


def _keep_to_this_machine() -> None:
    """Let a Ray of its own, once it is imported, listen on loopback, with a token that no file holds."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # as on those: the node's address is 127.0.0.1
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _short_temp_dir() -> Path:
    """The folder for temporary files, or /tmp where Ray cannot have its sockets in that."""
    asked = os.environ.get("TMPDIR", "/tmp")
    for folder in (os.environ.get("RAY_TMPDIR", ""), asked, "/tmp"):
        if folder.isascii() and 0 < len(folder) <= MAX_TMPDIR_BYTES and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    raise InputError(f"TMPDIR: got {asked!r}, expected a path of at most {MAX_TMPDIR_BYTES} ASCII characters, or /tmp")


def _start_local(folder: Path) -> None:
    """Start Ray on this machine, once the orphans of a killed driver are gone; its files, in `folder`, all may read."""
    import ray

    end_orphans()
    tag_children()
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=512 * 2**20,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
    except Exception as error:  # Ray raises bare ones, where its processes do not come up
        expected = "room for one (memory, ulimit -v); RAY_ADDRESS joins another"
        raise InputError(f"Ray: got none on this machine ({one_line(error, 160)}), expected {expected}") from error


def _join_cluster(address: str) -> None:
    """Join the cluster at `address`; its workers get the package from here."""
    import ray
    from ray.exceptions import AuthenticationError

    check_environment()
    package = {"py_modules": [str(IMPORT_ROOT / "genlib")]}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, runtime_env=package)
    except AuthenticationError as error:
        expected = "a head whose ~/.ray/auth_token is also this machine's"
        raise InputError(f"RAY_ADDRESS: got {address!r}, which refuses the token here, expected {expected}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise _bad_address(address, error) from error
