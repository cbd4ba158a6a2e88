"""Pieces of a batch: the step of the whole, less memory, and what cannot be cut is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from phases import gradients_of
from prepared import MODELS, digits, final_weights, job, jobs

from genlib.data.batches import batches
from genlib.data.dataset import load_dataset
from genlib.data.images import Images
from genlib.errors import InputError
from genlib.registry import build
from genlib.training.config import TrainConfig
from genlib.training.fit import build_objective, build_train_state, fit

SEPARABLE = [name for name in MODELS if name != "cyclegan"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


def separable(data, states, accumulate, **train):
    """The family of jobs whose batch may be cut."""
    options = {"accumulate": accumulate, **train}
    found = [each for each in jobs(data, states) if each.name not in ("cyclegan", "dcgan")]
    return [replace(each, train=replace(each.train, **options)) for each in found]


def images(n=24):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, 1, 16, 16), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, 10, (n,), generator=generator))


def batch_of(size=12, step=2, rank=0, world=1):
    return next(batches(images(), size, seed=3, step=step, rank=rank, world=world, domain_b=images()))


@pytest.mark.parametrize("pieces", [1, 2, 5, 12])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_pieces_are_slices_of_the_batch_with_its_draws(pieces, rank, world):
    batch = batch_of(24, rank=rank, world=world)
    parts = batch.split(pieces)
    assert len(parts) == pieces and {len(part.pixels) for part in parts} <= {
        len(batch.pixels) // pieces + i for i in (0, 1)
    }
    for read in (
        lambda b: b.x,
        lambda b: b.y,
        lambda b: b.randn("z", 3),
        lambda b: b.rand("u", 2, 2),
        lambda b: b.domain_b.x,
        lambda b: b.domain_b.rand("v"),
    ):
        assert torch.equal(torch.cat([read(part) for part in parts]), read(batch))
    assert all((part.step, part.global_size) == (batch.step, 24) for part in parts)


@pytest.mark.parametrize("name", SEPARABLE)
def test_the_gradients_of_pieces_sum_to_those_of_the_batch(name):
    torch.manual_seed(0)
    model = build("models", MODELS[name][0], (1, 16, 16), 10).to(memory_format=torch.channels_last)
    for phase in build("objectives", MODELS[name][1]).phases(model):
        _, whole = gradients_of(phase, model, batch_of(13))
        parts = [gradients_of(phase, model, piece)[1] for piece in batch_of(13).split(3)]
        for key, gradient in whole.items():
            if gradient is not None:
                torch.testing.assert_close(sum(part[key] for part in parts), gradient, rtol=1e-3, atol=1e-5)


def test_training_in_pieces_gives_the_weights_of_whole_batches(data, tmp_path):
    """Float32, 6 steps of Adam: within 2e-5 of the largest weight, reports within 1e-4."""
    for whole, cut in zip(separable(data, tmp_path / "1", 1), separable(data, tmp_path / "4", 4), strict=True):
        require_same(whole, cut)


def require_same(one, other):
    for each in (one, other):
        for _ in fit(each):
            pass
    compare(one, other)


def compare(one, other):
    (_, mine, history), (_, theirs, other_history) = (
        final_weights(one.checkpoint_dir),
        final_weights(other.checkpoint_dir),
    )
    scale = max(tensor.abs().max() for tensor in mine.values())
    assert max((mine[key] - theirs[key]).abs().max() for key in mine) < 2e-5 * scale, one.name
    for a, b in zip(history, other_history, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-4)


RANKS = """
import sys, torch, torch.distributed as dist
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/training"]
from test_accumulation import separable
from genlib.training.fit import fit
rank = int(sys.argv[1])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://{store}", rank=rank, world_size=2)
for each in separable(Path({data!r}), Path({out!r}), 4):
    for progress in fit(each):
        pass
dist.destroy_process_group()
"""


def test_pieces_of_two_workers_give_the_weights_of_one(data, tmp_path):
    here, out = str(Path(__file__).parents[1]), tmp_path / "two"
    code = RANKS.format(tests=here, store=tmp_path / "store", data=str(data), out=str(out))
    ranks = [subprocess.Popen([sys.executable, "-c", code, str(rank)]) for rank in range(2)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0, 0]
    for whole, cut in zip(separable(data, tmp_path / "one", 1), separable(data, out, 4), strict=True):
        for _ in fit(whole):
            pass
        compare(whole, cut)


def saved_bytes(phase, model, batch):
    """What the graph of one loss holds for its backward pass, parameters apart, each storage once."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = phase.step_losses(batch).loss  # noqa: F841  keeps the graph, so that no address is used twice
    return sum(held.values())


@pytest.mark.parametrize("name", ["classifier", "scorer", "autoencoder", "vae"])
def test_a_piece_holds_its_share_of_the_activations(name):
    torch.manual_seed(0)
    model = build("models", MODELS[name][0], (1, 16, 16), 10)
    (phase,) = build("objectives", MODELS[name][1]).phases(model)
    whole, pieces = batch_of(24), batch_of(24).split(4)
    share = max(saved_bytes(phase, model, piece) for piece in pieces) / saved_bytes(phase, model, whole)
    assert share < 0.35


def refusal(data, model, objective, **train):
    dataset = load_dataset(data)
    spec = replace(job("vae", data), name="m", model=model, objective=objective, train=TrainConfig(**train))
    with pytest.raises(InputError) as error:
        build_train_state(spec, build_objective(spec), dataset.shape, 10, 2, torch.device("cpu"))
    return str(error.value)


GAN = {"name": "gan", "latent": 4, "width": 4, "width_d": 4}


@pytest.mark.parametrize(
    ("model", "objective", "train", "expected"),
    [
        (GAN, "adversarial", {"batch_size": 8, "accumulate": 9}, "got 9, expected at most 8, a worker's images"),
        (
            GAN,
            "adversarial",
            {"batch_size": 8, "accumulate": 5, "workers": 2},
            "got 5, expected at most 4, a worker's images",
        ),
        ({"name": "cyclegan", "width": 4}, "translation", {"accumulate": 2}, "got 2, expected 1, since image pools"),
        (
            {"name": "dcgan", "width": 4},
            "adversarial",
            {"accumulate": 2},
            "got 2, expected 1, since batch normalisation",
        ),
        (
            GAN | {"spectral_norm": True},
            "adversarial",
            {"accumulate": 2},
            "got 2, expected 1, since spectral normalisation",
        ),
        (
            GAN | {"pack": 2},
            "adversarial",
            {"batch_size": 8, "accumulate": 3},
            "got pieces of 2 images, expected a multiple of",
        ),
    ],
)
def test_what_cannot_be_equal_is_refused(data, model, objective, train, expected):
    message = refusal(data, model, {"name": objective}, **train)
    assert message.startswith("models.m: train.accumulate: ") and expected in message and "\n" not in message
