"""Checkpoints: two are kept, a broken one gives way to the one before, those of another job are renamed."""

import pytest
import torch
from prepared import digits, final_weights, job

from genlib.training.checkpoints import (
    BadCheckpoint,
    latest_checkpoint,
    list_checkpoints,
    quarantine_checkpoints,
    read_checkpoint,
)
from genlib.training.fit import fit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def fit_until(run, images=10**9):
    for progress in fit(run):
        if progress.images_seen >= images:
            break
    return run.checkpoint_dir


def test_two_checkpoints_are_kept(data, tmp_path):
    fit_until(job("vae", data, tmp_path, total_images=320))
    assert [path.name[:12] for path in list_checkpoints(tmp_path)] == [f"{320:012d}", f"{288:012d}"]


def test_a_broken_newest_checkpoint_gives_way_to_the_one_before(data, tmp_path):
    whole = fit_until(job("gan", data, tmp_path / "whole"))
    run = job("gan", data, tmp_path / "run")
    last, before = list_checkpoints(fit_until(run, 64))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="its content is not what its name says"):
        read_checkpoint(last)
    assert latest_checkpoint(run.checkpoint_dir).path == before
    expected, found = (final_weights(folder)[1] for folder in (whole, fit_until(run)))
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_those_of_another_job_are_renamed(data, tmp_path):
    run = job("vae", data, tmp_path)
    newest, before = list_checkpoints(fit_until(run, 64))
    assert quarantine_checkpoints(tmp_path, run.digest) == []
    lines = quarantine_checkpoints(tmp_path, job("vae", data, seed=1).digest)
    assert lines == [f"passed over {path}: it is of another job" for path in (newest, before)]
    assert latest_checkpoint(tmp_path) is None and len(list(tmp_path.glob("*.unfit"))) == 2


def test_no_folder_has_no_checkpoint(tmp_path):
    assert latest_checkpoint(None) is latest_checkpoint(tmp_path / "none") is None
    assert quarantine_checkpoints(None, "") == []
