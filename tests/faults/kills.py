"""SIGKILL at random progress of a training: of a worker, its driver, a node, DVC, what publishes. Is anything lost?

`make faults` runs the long form: 60 kills, each a row of benchmarks/kills.csv; it may be stopped and goes on with what
is missing. A training takes up to three kills, as many as Ray Train forgives.
"""

import argparse
import csv
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import psutil
import torch
from faults.cluster import Cluster, Server, start, until
from prepared import digits
from safetensors.torch import load_file

from genlib.distributed.orphans import DRIVER_ENV
from genlib.tracking.run_folder import read_rows

ROOT = Path(__file__).parents[2]
IMAGES, REPORT, CHECKPOINT = 30_000, 1_000, 2_000
PARAMS = """
data: {{name: digits}}
models:
  classifier:
    model: {{name: cnn_classifier, width: 8}}
    objective: {{name: classification}}
    train: {{workers: {workers}, total_images: {images}, batch_size: 50, report_every: {report},
            checkpoint_every: {kept}}}
evaluate: {{metrics: [accuracy]}}
"""
DVC_YAML = """
stages:
  train:
    cmd: {python} -m pipelines.train classifier
    deps: [data/prepared]
    outs: [runs/train/classifier]
"""
LONG = {"worker": 12, "driver": 10, "driver of workers": 8, "node": 8, "server": 8, "publisher": 9, "dvc": 5}
PER_TRAINING = {"dvc": 1}  # of the other kinds three


@dataclass
class Kill:
    """`at`, `kept`, `resumed`: images that were seen when it struck, that the newest checkpoint held then, and that
    training went on from; what came of it: the same weights bit for bit, the same history, every point tracked once."""

    kind: str
    seed: int
    at: int
    kept: int
    resumed: int
    weights: bool = False
    history: bool = False
    tracked: bool = False

    @property
    def well(self):
        return self.resumed >= self.kept and self.weights and self.history and self.tracked


class Project:
    """A folder in which one model is trained, and what can be seen of that from outside."""

    def __init__(self, workers, images=IMAGES):
        self.folder = Path(tempfile.mkdtemp(prefix="gl"))
        facts = {"workers": workers, "images": images, "report": REPORT, "kept": CHECKPOINT}
        (self.folder / "params.yaml").write_text(PARAMS.format(**facts))
        digits(self.folder / "data/prepared")
        self.said = self.folder / "said"
        self.out = self.folder / "runs/train/classifier"

    def train(self, **env):
        return self.run("pipelines.train", "classifier", OMP_NUM_THREADS="1", **env)

    def run(self, *module, **env):
        return start([sys.executable, "-m", *module], self.said, cwd=self.folder, PYTHONPATH=str(ROOT), **env)

    def reached(self, process, target):
        """Wait until the driver has told of so many images; how many it has seen then, and how many are kept."""
        until(lambda: self.told() >= target or process.poll() is not None, 180, f"{target} images")
        assert process.poll() is None, self.said.read_text()
        kept = self.kept()
        return max(self.told(), kept), kept

    def told(self):
        rows = [row for path in self.folder.glob(".genlib/runs/*") for row in read_rows(path)]
        return max((row["step"] for row in rows), default=0)

    def kept(self):
        names = [path.name for path in self.folder.glob(".genlib/state/train/classifier/*/[0-9]*.safetensors")]
        return max((int(name.partition("-")[0]) for name in names), default=0)

    def resumptions(self, word):
        """Where it went on, each time that it says so."""
        places = re.findall(word + r"([\d,]+)", self.said.read_text())
        return [int(place.replace(",", "")) for place in places]

    def finish(self, process):
        assert process.wait(timeout=300) == 0, self.said.read_text()

    def weights(self):
        return load_file(self.out / "model.safetensors")

    def history(self):
        return (self.out / "history.tsv").read_text()

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)  # a publisher may still be at it


def workers(project, targets, chance):
    process = project.train()
    for count, target in enumerate(targets, 1):
        at, kept = project.reached(process, target)
        below = psutil.Process(process.pid).children(recursive=True)
        chance.choice([each for each in below if "RayTrainWorker" in " ".join(each.cmdline())]).kill()
        yield at, kept, begun_again(project, process, count)
    project.finish(process)


def begun_again(project, process, count):
    """Where a new group of workers went on, once it did for the `count`-th time."""
    found = until(
        lambda: project.resumptions("workers at ")[count - 1 :] or process.poll() is not None, 180, "a new group"
    )
    assert isinstance(found, list), project.said.read_text()
    return found[0]


def drivers(project, targets, chance):
    process, killed = project.train(), []
    for target in targets:
        at, kept = project.reached(process, target)
        killed.append(process.pid)
        process.kill()
        process.wait()
        project.said.write_text("")
        process = project.train()
        [resumed, *_] = until(lambda: project.resumptions("resumed at "), 180, "the next report")
        yield at, kept, resumed
    project.finish(process)
    assert not left_by(killed), "what a killed driver left is still there"


def left_by(drivers):
    """The processes that carry the mark of one of these."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(DRIVER_ENV, "").split()[2:3] in [[str(driver)] for driver in drivers]:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def nodes(project, targets, chance):
    cluster = Cluster(nodes=2)
    try:
        process = project.train(RAY_ADDRESS=cluster.address)
        for count, target in enumerate(targets, 1):
            at, kept = project.reached(process, target)
            cluster.lose(chance.randrange(2))
            cluster.nodes.append(cluster.join())
            yield at, kept, begun_again(project, process, count)
        project.finish(process)
    finally:
        cluster.close()


def servers(project, targets, chance):
    """The server stays away until the end after its last death; training is held while it begins again, which may take
    longer than the rest of training."""
    server = Server(project.folder / "mlflow")
    try:
        process = project.train(MLFLOW_TRACKING_URI=server.uri)
        for target in targets:
            if server.process.poll() is not None:
                process.send_signal(signal.SIGSTOP)
                server.start()
                process.send_signal(signal.SIGCONT)
            at, kept = project.reached(process, target)
            server.kill()
            yield at, kept, at
        project.finish(process)
        server.start()
        sent = project.run("genlib", "sync", MLFLOW_TRACKING_URI=server.uri)
        assert sent.wait(timeout=120) == 0, project.said.read_text()
    finally:
        server.close()


def publishers(project, targets, chance):
    """First the publisher of a stage, then each `genlib sync` that goes on with what it left."""
    process = project.train()
    at, kept = project.reached(process, targets[0])
    below = psutil.Process(process.pid).children()
    [publisher] = [each for each in below if "genlib.tracking.mlflow" in each.cmdline()]
    publisher.kill()
    yield at, kept, at
    project.finish(process)
    for _ in targets[1:]:
        sync = project.run("genlib", "sync")
        time.sleep(3 + 3 * chance.random())  # importing MLflow takes the first four seconds
        sync.kill()
        sync.wait()
        yield IMAGES, IMAGES, IMAGES
    assert project.run("genlib", "sync").wait(timeout=120) == 0, project.said.read_text()


def dvcs(project, targets, chance):
    """The stage lives on without DVC, so that the same command meets it."""
    (project.folder / "dvc.yaml").write_text(DVC_YAML.format(python=sys.executable))
    assert project.run("dvc", "init", "--no-scm").wait() == 0
    for target in targets:
        process = project.run("dvc", "repro", OMP_NUM_THREADS="1")
        at, kept = project.reached(process, target)
        process.kill()
        process.wait()
        yield at, kept, at
    until(lambda: project.run("dvc", "repro", OMP_NUM_THREADS="1").wait() == 0, 180, "dvc repro")


KINDS = {
    "worker": (workers, 2),
    "driver": (drivers, 0),
    "driver of workers": (drivers, 2),
    "node": (nodes, 2),
    "server": (servers, 0),
    "publisher": (publishers, 0),
    "dvc": (dvcs, 0),
}


@cache
def undisturbed(count):
    """Weights and history of a training that nothing disturbs, with so many workers."""
    project = Project(count)
    project.finish(project.train(MLFLOW_TRACKING_URI="http://127.0.0.1:9"))
    found = project.weights(), project.history()
    project.close()
    return found


def kills(kind, seed, count):
    """One training with `count` kills at random progress."""
    act, world = KINDS[kind]
    chance = random.Random(f"{kind} {seed}")
    targets = sorted(chance.sample(range(CHECKPOINT, IMAGES * 3 // 4, REPORT), count))
    weights, history = undisturbed(world)
    project = Project(world)
    found = [Kill(kind, seed, *facts) for facts in act(project, targets, chance)]
    mine = project.weights()
    for kill in found:
        kill.weights = all(torch.equal(mine[key], weights[key]) for key in weights)
        kill.history = project.history() == history
        kill.tracked = is_tracked(project.folder, kind)
    project.close()
    return found


def is_tracked(folder, kind, within=90):
    """Whether MLflow comes to hold each report's loss once; the publisher of a killed driver may still be at it."""
    wanted, end = list(range(REPORT, IMAGES + 1, REPORT)), time.monotonic() + within
    while time.monotonic() < end:
        found = points(folder)
        if len(found) in ((1, 2) if kind == "dvc" else (1,)) and all(steps == wanted for steps in found):
            return True
        time.sleep(1)
    return False


def points(folder):
    """The steps at which MLflow holds the loss, of each run there; of two, where DVC has run the stage again."""
    import mlflow

    places = (folder / "mlflow/mlflow.db", folder / "mlflow.db")
    database = next((path for path in places if path.exists()), None)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("digits") if database else None
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [sorted(point.step for point in client.get_metric_history(run.info.run_id, "loss")) for run in runs]


def rows(table):
    return list(csv.DictReader(table.open())) if table.exists() else []


def append(table, found):
    """A training's kills, all or none."""
    known = table.read_text() if table.exists() else ",".join(field.name for field in fields(Kill)) + "\n"
    more = "".join(",".join(map(str, asdict(kill).values())) + "\n" for kill in found)
    partial = table.with_suffix(".partial")
    partial.write_text(known + more)
    partial.replace(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks/kills.csv")
    table = parser.parse_args().table
    for kind, wanted in LONG.items():
        while (done := Counter(row["kind"] for row in rows(table))[kind]) < wanted:
            began = time.monotonic()
            found = kills(kind, done, min(PER_TRAINING.get(kind, 3), wanted - done))
            append(table, found)
            well = sum(kill.well for kill in found)
            print(f"{kind}: {well} of {len(found)} well, {time.monotonic() - began:.0f} s", flush=True)
    print(summary(rows(table)))


def summary(found):
    """Markdown: per kind, how many kills came to a good end."""
    lines = [
        "| killed | kills | past their checkpoint | same weights | same history | every point once |",
        "|---|---|---|---|---|---|",
    ]
    for kind in LONG:
        own = [row for row in found if row["kind"] == kind]
        past = sum(int(row["resumed"]) >= int(row["kept"]) for row in own)
        good = [sum(row[name] == "True" for row in own) for name in ("weights", "history", "tracked")]
        lines.append(f"| {kind} | {len(own)} | {past} | {' | '.join(map(str, good))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
