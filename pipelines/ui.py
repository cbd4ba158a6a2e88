"""`make ui`: MLflow's pages over the runs of this project, on loopback."""

import argparse
import os
import sys

from genlib import provenance
from genlib.errors import mask_secrets, run_cli
from genlib.tracking.address import artifacts_dir, tracking_uri
from pipelines.stage import ROOT


def serve() -> None:
    """Become MLflow's server; Ctrl-C ends it."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.ui", description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    port = parser.parse_args().port
    home = provenance.main_worktree(ROOT)
    uri = tracking_uri(home)
    if uri.startswith("http"):
        print(f"the runs are kept by the server at {mask_secrets(uri)}: open that")
        return
    print(f"MLflow: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    artifacts = artifacts_dir(uri, home).as_uri()
    options = ["--backend-store-uri", uri, "--artifacts-destination", artifacts, "--workers", "1"]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *options]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(run_cli(serve))
