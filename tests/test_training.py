"""The loop over the whole family of models: deterministic, resumable bit for bit, the same on two ranks as on one."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from prepared import MODELS, digits, job, jobs
from torch import nn

from genlib.data import dataset
from genlib.training import ema
from genlib.training.fit import build_model_config, fit, history_to_tsv, save_model
from genlib.training.loop import TrainingDiverged
from genlib.training.schedule import lr_factor
from genlib.training.state import EagerAdam, checksum_ok, latest_checkpoint, list_checkpoints, read_final_weights

EVERY = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def weights(job):
    """Averaged and raw weights after the job has run."""
    for _ in fit(job):
        pass
    averaged, raw, _ = read_final_weights(latest_checkpoint(job.checkpoint_dir))
    return {**{f"ema.{k}": v for k, v in averaged.items()}, **raw}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_adam_without_the_compiler_is_torchs_adam_bit_for_bit():
    def trained(kind):
        torch.manual_seed(0)
        net, x = nn.Linear(5, 3), torch.randn(7, 5)
        optimizer = kind(net.parameters(), lr=0.1, betas=(0.5, 0.9), fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
        again = kind(net.parameters(), lr=0.1, betas=(0.5, 0.9), fused=True)
        again.load_state_dict(optimizer.state_dict())
        again.step()
        return [*net.parameters(), *(slot for each in again.state.values() for slot in each.values())]

    assert all(map(torch.equal, trained(EagerAdam), trained(torch.optim.Adam)))


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
    assert latest_checkpoint(killed.checkpoint_dir).name.startswith(f"{64:012d}")
    assert same(weights(killed), expected)
    assert (
        read_final_weights(latest_checkpoint(killed.checkpoint_dir))[2]
        == read_final_weights(latest_checkpoint(whole.checkpoint_dir))[2]
    )


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


def test_a_broken_newest_checkpoint_gives_way_to_the_one_before(data, tmp_path):
    expected = weights(job("gan", data, tmp_path / "whole"))
    run = job("gan", data, tmp_path / "run")
    for progress in fit(run):
        if progress.images_seen >= 64:
            break
    last, before = list_checkpoints(run.checkpoint_dir)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    assert not checksum_ok(last)
    assert latest_checkpoint(run.checkpoint_dir) == before
    assert same(weights(run), expected)


def test_two_checkpoints_are_kept(data, tmp_path):
    run = job("vae", data, tmp_path, total_images=320)
    weights(run)
    assert [path.name[:12] for path in list_checkpoints(tmp_path)] == [f"{320:012d}", f"{288:012d}"]


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
    here = str(Path(__file__).parent)
    code = RANKS.format(tests=here, store=tmp_path / "store", data=str(data), out=str(tmp_path / "many"))
    ranks = [subprocess.Popen([sys.executable, "-c", code, str(rank), str(world)]) for rank in range(world)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0] * world
    for alone in jobs(data, tmp_path / "one"):
        name, one = alone.name, weights(alone)
        averaged, raw, history = read_final_weights(latest_checkpoint(tmp_path / "many" / name))
        two = {**{f"ema.{k}": v for k, v in averaged.items()}, **raw}
        scale = max(tensor.abs().max() for tensor in one.values())
        assert max((one[key] - two[key]).abs().max() for key in one) < 2e-5 * scale, name
        for mine, other in zip(read_final_weights(latest_checkpoint(alone.checkpoint_dir))[2], history, strict=True):
            assert mine == pytest.approx(other, rel=1e-4, abs=1e-4)


@EVERY
def test_a_finished_job_becomes_a_model_folder(name, data, tmp_path):
    import genlib

    run = job(name, data, tmp_path / "state")
    weights(run)
    save_model(run, tmp_path / "model")
    model = genlib.load(tmp_path / "model")
    averaged, _, history = read_final_weights(latest_checkpoint(run.checkpoint_dir))
    assert same(dict(model.state_dict()), averaged)
    assert not model.training
    assert (tmp_path / "model/history.tsv").read_text() == history_to_tsv(history)
    assert build_model_config(run)["classes"] == 10


def test_history_is_a_table_with_blanks_where_nothing_was_reported():
    rows = [{"images_seen": 1, "a": 0.5}, {"images_seen": 2, "b": 1.0}]
    assert history_to_tsv(rows) == "images_seen\ta\tb\n1\t0.5\t\n2\t\t1\n"


@pytest.mark.parametrize("change", [{"seed": 1}, {"total_images": 97}, {"lr": 0.1}, {"workers": 2}])
def test_the_digest_follows_what_decides_the_weights(data, change):
    assert job("gan", data).compute_digest() == job("gan", data).compute_digest()
    assert job("gan", data).compute_digest() != job("gan", data, **change).compute_digest()


def test_a_loss_that_is_not_finite_ends_the_run(data, tmp_path):
    with pytest.raises(TrainingDiverged, match="finite"):
        weights(job("vae", data, tmp_path, lr=1e30, total_images=320))


def test_the_average_leaves_the_first_weights_behind_and_copies_buffers():
    model = nn.BatchNorm1d(2)
    average = ema.frozen_copy(model)
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.running_mean.fill_(5.0)
    ema.update(average, model, decay=0.999, step=0)
    assert torch.allclose(average.weight, torch.full((2,), 1 + 0.9 * 2))
    assert torch.equal(average.running_mean, model.running_mean)
    ema.update(average, model, decay=0.5, step=10**6)
    assert torch.allclose(average.weight, torch.full((2,), 2.9))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedules_rise_then_never_rise_again(schedule):
    values = [lr_factor(schedule, i / 100, warmup_fraction=0.1, decay_start=0.5) for i in range(101)]
    assert values[0] == 0
    assert values[10:51] == pytest.approx([1] * 41)
    assert all(a >= b for a, b in pairwise(values[10:]))
    assert values[-1] == pytest.approx(1 if schedule == "constant" else 0)
