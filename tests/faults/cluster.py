"""Real Ray nodes on this machine, each a process of its own that can be killed; and a real MLflow server."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

BIN = Path(sys.executable).parent
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1",
    "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
}  # fmt: skip


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(command, log, cwd=None, **env):
    with log.open("ab") as out:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env=os.environ | QUIET | env,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def end(process):
    """End a process and all that it started."""
    if process.poll() is None:
        ours = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for each in ours:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait()


def until(true, seconds, what):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return found


class Cluster:
    """A head without CPUs and nodes with one each."""

    def __init__(self, nodes, dashboard=False):
        self.folder = Path(tempfile.mkdtemp(prefix="gl"))
        self.port, self.jobs = free_port(), free_port()
        board = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={self.jobs}"]
        self.head = self._ray(
            "--head", f"--port={self.port}", "--num-cpus=0", f"--temp-dir={self.folder}/ray",
            *(board if dashboard else ["--include-dashboard=false"]),
        )  # fmt: skip
        self.address = f"127.0.0.1:{self.port}"
        self.nodes = [self.join() for _ in range(nodes)]

    def _ray(self, *options):
        """Nodes of one machine begin one after the other: two at once disturb each other."""
        command = [BIN / "ray", "start", "--block", "--disable-usage-stats", "--object-store-memory=100000000"]
        command.append(f"--dashboard-agent-listen-port={free_port()}")  # the default one may be another cluster's
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        node = start([*command, *options], log)
        until(lambda: "Ray runtime started" in log.read_text() or node.poll() is not None, 90, "a node")
        assert node.poll() is None, log.read_text()
        return node

    def join(self):
        return self._ray(f"--address={self.address}", "--num-cpus=1")

    def lose(self, place):
        """Kill all processes of a node, as where its machine loses power. Workers outlive a raylet that is killed alone
        for seconds, in which a short training may end."""
        end(self.nodes.pop(place))

    def close(self):
        for node in [*self.nodes, self.head]:
            end(node)


class Server:
    """MLflow on loopback, with its database in `folder`."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        self.process = start(
            [
                BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--workers", 1,
                "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
                "--artifacts-destination", self.folder / "artifacts",
            ],
            self.folder / "log",
        )  # fmt: skip
        until(self._healthy, 90, "MLflow's server")

    def _healthy(self):
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200
        except OSError:
            return False

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        end(self.process)
