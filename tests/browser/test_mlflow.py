"""`make ui` in a real browser: runs, the trials nested in a sweep, and the grids of images are there to be seen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser.chromium import CHROMIUM, browser

from genlib.tracking.mlflow import connect, publish
from genlib.tracking.run_folder import open_run

ROOT = Path(__file__).parents[2]
TAGS = {"genlib.stage": "tune", "genlib.model": "gan"}
OWN = (  # what MLflow's pages say of themselves, whatever the store
    "Failed to load resource: the server responded with a status of 404",  # users/current, where nobody logs in
    "AG Grid: since v27.1",
    "ResizeObserver loop completed with undelivered notifications",
)

pytestmark = [
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason="needs a browser: install the Debian packages chromium and chromium-driver"
    ),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a sweep of two trials, each with its knobs, a curve and a grid of images."""
    home = tmp_path_factory.mktemp("home")
    with open_run(home, "tune-gan", name="tune gan", experiment="digits", tags=TAGS, params={}) as sweep:
        for number in range(2):
            params = {"train.lr_g": 0.001 * (number + 1)}
            with sweep.start_nested(f"trial-{number}", f"trial {number}", params) as trial:
                for step in (10, 20):
                    trial.log({"kid": (2 - number) / step}, step)
                trial.log_images("samples", torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8), 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert publish(sweep.path) == []
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "pipelines.ui", "--port", str(port)]
    with (home / "log").open("w") as log:
        started = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True)
    for _ in range(900):
        with socket.socket() as probe:
            if started.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    os.killpg(started.pid, 15)
    started.wait()


@pytest.fixture(scope="module")
def ids(home: Path) -> dict[str, str]:
    client = connect(f"sqlite:///{home}/mlflow.db", home)
    experiment = client.get_experiment_by_name("digits").experiment_id
    return {"": experiment} | {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}


@pytest.fixture
def tab(server: str, tmp_path: Path) -> Iterator[Any]:
    """A tab that has to stay on this machine and may say nothing but what MLflow always says."""
    asked: list[str] = []
    complaints: list[str] = []
    with browser(tmp_path / "profile") as chromium:
        tab = chromium.pages[0]
        tab.set_viewport_size({"width": 1280, "height": 800})
        tab.set_default_timeout(120_000)
        tab.on("request", lambda sent: asked.append(sent.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        yield tab
    assert asked
    assert all(url.startswith((server, "data:", "blob:")) for url in asked)
    assert [each for each in complaints if not any(own in each for own in OWN)] == []


def test_trials_open_under_their_sweep(tab: Any, server: str, ids: dict[str, str]) -> None:
    tab.goto(f"{server}/#/experiments/{ids['']}/runs")
    tab.get_by_text("tune gan", exact=True).wait_for()
    assert tab.get_by_text("trial 1", exact=True).count() == 0
    tab.locator(".ag-row button").first.click()
    for number in range(2):
        tab.get_by_text(f"trial {number}", exact=True).wait_for()


def test_a_trial_shows_its_curve_its_images_and_its_sweep(tab: Any, server: str, ids: dict[str, str]) -> None:
    trial = f"{server}/#/experiments/{ids['']}/runs/{ids['trial 1']}"
    tab.goto(trial)
    for text in ("kid", "0.05", "train.lr_g", "0.002", "tune gan", "Finished"):
        tab.get_by_text(text, exact=True).first.wait_for()
    tab.goto(f"{trial}/model-metrics")
    tab.get_by_text("samples", exact=True).first.wait_for()
    tab.wait_for_function("[...document.images].some(i => i.src.includes('samples') && i.naturalWidth >= 16)")
