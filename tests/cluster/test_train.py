"""Ray Train, for real: the driver hears every report once, two workers equal one, dead workers are replaced."""

import psutil
import pytest
import torch
from prepared import digits, job

from genlib.cluster.train import Begun, Ear, launch
from genlib.training.loop import Progress
from genlib.training.state import finished, newest


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def weights(state):
    return finished(newest(state))[1]


def test_local_mode_and_two_workers_tell_the_same_and_give_the_same_weights(data, tmp_path, ray_session):
    """Float32, six steps of Adam: within 2e-5 of the largest weight. Workers for whom there is no CPU are not used, and
    that is said."""
    heard, said = {0: [], ray_session + 3: []}, []
    for workers, told in heard.items():
        run = job("gan", data, tmp_path / str(workers), workers=workers)
        outcome = launch(run, str(tmp_path / "ray"), "test", told.append, said.append)
        assert outcome.images_seen == 96
        assert outcome.workers == min(workers, ray_session)
    assert said == [f"test: {ray_session + 3} workers asked, {ray_session} CPUs there: {ray_session} used"]
    alone, together = heard.values()
    assert [p.images_seen for p in alone] == [p.images_seen for p in together] == [0, 32, 64, 96]
    one, two = (weights(tmp_path / str(workers)) for workers in heard)
    scale = max(tensor.abs().max() for tensor in one.values())
    assert max((one[key] - two[key]).abs().max() for key in one) < 2e-5 * scale
    assert together[-1].samples is not None
    assert not list((tmp_path / "ray").glob("*"))


def test_a_killed_worker_is_replaced_and_the_weights_are_those_of_an_undisturbed_run(data, tmp_path):
    def train(workers, hear):
        run = job("vae", data, tmp_path / str(workers), workers=workers, images=3200)
        launch(run, str(tmp_path / "ray"), "test", hear)
        return weights(tmp_path / str(workers))

    killed = []

    def kill_once(progress):
        if progress.images_seen >= 640 and not killed:
            ours = psutil.Process().children(recursive=True)
            [worker] = [process for process in ours if "RayTrainWorker" in process.name() + " ".join(process.cmdline())]
            killed.append(worker.pid)
            worker.kill()

    heard = []
    disturbed = train(1, lambda progress: (heard.append(progress.images_seen), kill_once(progress)))
    calm = train(0, lambda progress: None)
    assert killed
    assert heard == sorted(set(heard)) == list(range(0, 3232, 32))
    assert all(torch.equal(disturbed[key], calm[key]) for key in calm)


def test_an_ear_hears_nothing_twice():
    heard = []
    said = []
    ear = Ear("test", lambda progress: heard.append(progress.images_seen), said.append)
    for told in (Begun(2, 0), 0, 10, 20, 0, Begun(1, 10), 10, 20, 30):
        ear(told if isinstance(told, Begun) else Progress(told, 30, {}))
    assert heard == [0, 10, 20, 30]
    assert said == ["test: begun again with 1 workers at 10 images"]
    assert ear.outcome().workers == 1
