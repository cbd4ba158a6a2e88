"""One Ray session: joined where `RAY_ADDRESS` names a cluster, started on this machine otherwise."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genlib.distributed.orphans import end_orphans, tag_children
from genlib.errors import InputError, one_line

IMPORT_ROOT = Path(__file__).parent.parent.parent
_RAY_ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
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
    paths = [str(IMPORT_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def silence_ray_loggers() -> None:
    """Let Ray's own loggers, set up when it is imported, report errors only."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are reported by name


@contextmanager
def session() -> Iterator[int]:
    """A Ray session for the length of a `with` block, or the one that is open already; yields its number of CPUs.

    Raises:
        InputError: no Ray that can be joined answers at `RAY_ADDRESS`.
    """
    configure_ray_env()
    import ray

    joined = ray.is_initialized()
    if not joined:
        _join_cluster(os.environ["RAY_ADDRESS"]) if os.environ.get("RAY_ADDRESS") else _start_local()
    try:
        yield int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    finally:
        if not joined:
            ray.shutdown()


def this_node() -> str:
    """The id of this node."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def actor_on_node(node_id: str, cls: type, *args: Any) -> Any:
    """An actor of `cls(*args)` that runs on this node and takes no CPU."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote: Any = ray.remote(num_cpus=0)(cls)
    place = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return remote.options(scheduling_strategy=place).remote(*args)


def _start_local() -> None:
    """Start Ray on this machine, once the orphans of a killed driver are gone."""
    import ray

    end_orphans()
    tag_children()
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=512 * 2**20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _join_cluster(address: str) -> None:
    """Join the cluster at `address`; its workers get the package from here."""
    import ray
    from ray.exceptions import AuthenticationError

    package = {"py_modules": [str(IMPORT_ROOT / "genlib")]}
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdigit():  # fails within seconds where nothing listens; Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, runtime_env=package)
    except AuthenticationError as error:
        expected = "a head whose ~/.ray/auth_token is also this machine's"
        raise InputError(f"RAY_ADDRESS: got {address!r}, which refuses the token here, expected {expected}") from error
    except (OSError, RuntimeError, ValueError) as error:
        expected = "host:port of a running head, as `ray start --head` prints it, with the same Python and Ray"
        raise InputError(f"RAY_ADDRESS: got {address!r} ({one_line(error, 160)}), expected {expected}") from error
