"""Forty damaged run folders: what they hold whole is read and gone on from, and no other run is kept from MLflow."""

from collections.abc import Callable
from pathlib import Path

import pytest
from faults.mutations import FILE_DAMAGE, Mutation, edit_json, parametrize
from tracking.runs import by_name, points, published, start

from genlib.tracking.mlflow import publish_all
from genlib.tracking.run_folder import HEADER, METRICS, PUBLISHED, read_rows

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
STEPS = (10, 20, 30)
RUN = "train gan"
Damage = Callable[[Path], object]


def of(file: str, damage: Damage) -> Damage:
    return lambda folder: damage(folder / file)


def add_line(text: str) -> Damage:
    return of(METRICS, lambda path: path.write_text(path.read_text() + text))


MUTATIONS = [
    *(
        Mutation(f"{file}: {name}", of(file, damage))
        for file in (HEADER, METRICS, PUBLISHED)
        for name, damage in FILE_DAMAGE.items()
        if name not in ("a bit in the middle", "a bit near the end")  # may be a digit of a number
    ),
    Mutation("half a line", add_line('{"time": 1, "step": 40, "met')),
    Mutation("a list for a line", add_line("[1, 2]\n")),
    Mutation("a line without a step", add_line('{"time": 1, "metrics": {"loss": 1}}\n')),
    Mutation("a step in words", add_line('{"time": 1, "step": "forty", "metrics": {"loss": 1}}\n')),
    Mutation("metrics that are a list", add_line('{"time": 1, "step": 40, "metrics": [1]}\n')),
    Mutation("lists in each other", add_line("[" * 200_000 + "\n")),
    Mutation("no metrics", of(METRICS, Path.unlink)),
    Mutation("no header", of(HEADER, Path.unlink)),
    Mutation("params that are a list", of(HEADER, lambda path: edit_json(path, params=["lr"]))),
    Mutation("a record of another run", of(PUBLISHED, lambda path: edit_json(path, run_id="0" * 32))),
]


@pytest.fixture
def project(uri, tmp_path):
    """A published run that has not ended, and one that nothing has published."""
    run = start(tmp_path, RUN)
    for step in STEPS:
        run.log({"loss": 1 / step}, step)
    assert publish_all(tmp_path, [run.path]) == []
    start(tmp_path, "train vae").log({"loss": 1.0}, 10)
    return tmp_path


@parametrize(MUTATIONS)
def test_bad_run_folders(mutation, project, uri):
    folder = project / ".genlib/runs/train-gan-1"
    mutation.damage(folder)
    kept = [row["step"] for row in read_rows(folder)]
    assert set(kept) <= {*STEPS, 40}
    resumed = start(project, RUN)
    resumed.log({"loss": 0.5}, 50)
    resumed.end()
    assert [row["step"] for row in read_rows(resumed.path)][-1] == 50
    assert set(kept) <= {row["step"] for row in read_rows(resumed.path)}
    problems = publish_all(project, sorted((project / ".genlib/runs").iterdir()))
    assert all(str(folder) in problem and "\n" not in problem for problem in problems)
    runs = by_name(uri)
    client, _ = published(uri)
    assert points(client, runs["train vae"], "loss") == [(10, 1.0)]
    if not problems:
        found = [step for step, _ in points(client, runs[RUN], "loss")]
        assert len(set(found)) == len(found) and 50 in found
