"""The loop over the whole family of models: deterministic, resumable bit for bit, the same on two ranks as on one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prepared import MODELS, digits, final_weights, job, jobs

from genlib.data import dataset
from genlib.training.checkpoints import latest_checkpoint
from genlib.training.fit import fit
from genlib.training.loop import TrainingDiverged

EVERY = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def weights(job):
    """Averaged and raw weights after the job has run."""
    for _ in fit(job):
        pass
    averaged, raw, _ = final_weights(job.checkpoint_dir)
    return {**{f"ema.{k}": v for k, v in averaged.items()}, **raw}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@EVERY
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_job_twice_gives_the_same_bits(name, precision, data, tmp_path):
    first, second = (weights(job(name, data, tmp_path / str(i), precision=precision)) for i in range(2))
    assert same(first, second)
    assert not same(first, weights(job(name, data, tmp_path / "seed", precision=precision, seed=1)))


@EVERY
def test_a_run_that_was_killed_goes_on_bit_for_bit(name, data, tmp_path):
    whole, killed = job(name, data, tmp_path / "whole"), job(name, data, tmp_path / "killed")
    expected = weights(whole)
    for progress in fit(killed):
        if progress.images_seen >= 64:
            break
    assert latest_checkpoint(killed.checkpoint_dir).images_seen == 64
    assert same(weights(killed), expected)
    assert final_weights(killed.checkpoint_dir)[2] == final_weights(whole.checkpoint_dir)[2]


@EVERY
def test_a_run_on_a_set_too_large_to_be_held_goes_on_bit_for_bit(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MAX_IN_MEMORY_BYTES", 0)
    whole, killed = job(name, data, tmp_path / "whole"), job(name, data, tmp_path / "killed")
    for progress in fit(killed):
        if progress.images_seen >= 64:
            break
    assert same(weights(killed), weights(whole))


def test_a_resumed_stream_tells_again_what_was_reported(data, tmp_path):
    told = [progress.images_seen for progress in fit(job("vae", data, tmp_path))]
    again = list(fit(job("vae", data, tmp_path)))
    assert told == [0, 32, 64, 96]
    assert [progress.images_seen for progress in again] == [32, 64, 96]
    assert all(progress.resumed for progress in again)


RANKS = """
import sys, torch, torch.distributed as dist
from pathlib import Path
sys.path.insert(0, {tests!r})
from prepared import jobs
from genlib.training.fit import fit
rank, world = map(int, sys.argv[1:])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://{store}", rank=rank, world_size=world)
for each in jobs(Path({data!r}), Path({out!r})):
    for progress in fit(each):
        pass
dist.destroy_process_group()
"""


@pytest.mark.parametrize("world", [2, 4])
def test_many_ranks_give_the_weights_of_one(data, tmp_path, world):
    """Float32, 6 steps of Adam: within 2e-5 of the largest weight, reports within 1e-4."""
    here = str(Path(__file__).parents[1])
    code = RANKS.format(tests=here, store=tmp_path / "store", data=str(data), out=str(tmp_path / "many"))
    ranks = [subprocess.Popen([sys.executable, "-c", code, str(rank), str(world)]) for rank in range(world)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0] * world
    for alone in jobs(data, tmp_path / "one"):
        name, one = alone.name, weights(alone)
        averaged, raw, history = final_weights(tmp_path / "many" / name)
        two = {**{f"ema.{k}": v for k, v in averaged.items()}, **raw}
        scale = max(tensor.abs().max() for tensor in one.values())
        assert max((one[key] - two[key]).abs().max() for key in one) < 2e-5 * scale, name
        for mine, other in zip(final_weights(alone.checkpoint_dir)[2], history, strict=True):
            assert mine == pytest.approx(other, rel=1e-4, abs=1e-4)


def test_a_loss_that_is_not_finite_ends_the_run(data, tmp_path):
    with pytest.raises(TrainingDiverged, match="finite"):
        weights(job("vae", data, tmp_path, lr=1e30, total_images=320))
