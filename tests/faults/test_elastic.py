"""As many workers as there is room for: a node that joins is used, one that dies is missed, nothing is lost."""

import sys

import pytest
from faults.cluster import Cluster, start, until
from faults.kills import REPORT, ROOT, Project

IMAGES = 1_000_000  # long enough for nodes to come and go on a busy machine
LOOKING = """
import runpy, sys
import genlib.distributed.train as train
train.RESIZE_INTERVAL_S = 2.0
sys.argv = ["train", "classifier"]
runpy.run_module("pipelines.train", run_name="__main__")
"""


@pytest.mark.long
def test_workers_come_and_go_with_the_nodes():
    cluster, project = Cluster(nodes=1), Project("[1, 2]", IMAGES)
    env = {"RAY_ADDRESS": cluster.address, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    try:
        process = start([sys.executable, "-c", LOOKING], project.said, cwd=project.folder, **env)

        def begun(workers):
            assert process.poll() is None, project.said.read_text()
            return project.resumptions(f"begun again with {workers} workers at ")

        project.reached(process, 2 * REPORT)
        cluster.nodes.append(cluster.join())
        [grown, *_] = until(lambda: begun(2), 120, "two workers")
        cluster.lose(1)
        [shrunk, *_] = until(lambda: begun(1), 120, "one worker again")
        project.finish(process)
    finally:
        cluster.close()
    assert 0 < grown <= shrunk < IMAGES
    rows = [line.split("\t") for line in project.history().splitlines()]
    assert [float(row[0]) for row in rows[1:]] == list(range(REPORT, IMAGES + 1, REPORT))
    assert float(rows[-1][rows[0].index("accuracy")]) > 0.9
    project.close()
