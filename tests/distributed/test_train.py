"""Ray Train, for real: the driver hears every report once, two workers equal one, workers that fail are named."""

import os
import signal
from dataclasses import replace

import pytest
from prepared import digits, job

from genlib.data import dataset
from genlib.distributed import train
from genlib.distributed.train import train_distributed
from genlib.errors import InputError, run_cli
from genlib.training.checkpoints import latest_checkpoint

pytestmark = pytest.mark.usefixtures("ray_session")

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def weights(state):
    return latest_checkpoint(state).tensors("model.")


def test_local_mode_and_two_workers_tell_the_same_and_give_the_same_weights(data, tmp_path, ray_session):
    """Float32, six steps of Adam: within 2e-5 of the largest weight. Workers for whom there is no CPU are not used, and
    that is said."""
    heard, said = {0: [], ray_session + 3: []}, []
    for workers, told in heard.items():
        run = job("gan", data, tmp_path / str(workers), workers=workers)
        assert train_distributed(run, str(tmp_path / "ray"), "test", told.append, said.append).images_seen == 96
    assert said == [f"test: {ray_session + 3} workers asked, {ray_session} CPUs there: {ray_session} used"]
    alone, together = heard.values()
    assert [p.images_seen for p in alone] == [p.images_seen for p in together] == [0, 32, 64, 96]
    one, two = (weights(tmp_path / str(workers)) for workers in heard)
    scale = max(tensor.abs().max() for tensor in one.values())
    assert max((one[key] - two[key]).abs().max() for key in one) < 2e-5 * scale
    assert together[-1].samples is not None
    assert not list((tmp_path / "ray").glob("*"))


def test_a_set_too_large_to_be_sent_is_streamed_to_two_workers_who_learn_what_one_learns_from_the_file(
    data, tmp_path, ray_session, monkeypatch
):
    monkeypatch.setattr(dataset, "MAX_IN_MEMORY_BYTES", 0)
    for workers in (0, 2):
        run = job("cgan", data, tmp_path / str(workers), workers=workers)
        assert train_distributed(run, str(tmp_path / "ray"), "test", id).images_seen == 96
    one, two = (weights(tmp_path / str(workers)) for workers in (0, 2))
    scale = max(tensor.abs().max() for tensor in one.values())
    assert max((one[key] - two[key]).abs().max() for key in one) < 2e-5 * scale


def die(progress):
    """What a worker does at its first report that is its last."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_die_again_and_again_are_given_up_with_one_line(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "MAX_RESTARTS", 0)
    run = job("vae", data, tmp_path / "state", workers=1)
    assert run_cli(lambda: train_distributed(run, str(tmp_path / "ray"), "train vae", print, postprocess=die)) == 1
    said = capsys.readouterr().err
    assert said.startswith("genlib: train vae: its workers died 1 times, the last with ")
    assert said.endswith("; the same command goes on from the last checkpoint\n") and said.count("\n") == 1


def test_what_a_worker_refuses_is_raised_as_it_is(data, tmp_path):
    run = job("vae", data, tmp_path / "state", workers=1)
    with pytest.raises(InputError, match="latent: got "):
        train_distributed(replace(run, model=run.model | {"latent": -1}), str(tmp_path / "ray"), "train vae", print)
