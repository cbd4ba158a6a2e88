"""Batch normalisation over a group of processes."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from phases import gradients_of
from torch import nn

from genlib.data.batches import batches
from genlib.data.images import Images
from genlib.models.layers.batch_norm import BatchNorm2d, GlobalBatchNorm, differentiable_batch_norm
from genlib.objectives import adversarial
from genlib.registry import build


def made(shape=(1, 16, 16)):
    torch.manual_seed(0)
    return build("models", {"name": "dcgan", "latent": 3, "width": 4, "width_d": 5}, shape, 0)


def batch(rank=0, world=1):
    pixels = torch.randint(256, (24, 1, 16, 16), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return next(batches(Images(pixels), 12, seed=3, rank=rank, world=world))


def rank(place, world, port, results):
    """One process of a group: the layer and both turns on its share of the batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=place, world_size=world)
    torch.save(shares(place, world), f"{results}/{place}-of-{world}.pt")
    dist.destroy_process_group()


def shares(place=0, world=1):
    x = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0)).chunk(world)[place].requires_grad_()
    layer = BatchNorm2d(3)
    y = layer(x)
    (y.sin() * torch.arange(1.0, 4)[:, None, None]).sum().backward()
    found = {"y": y.detach(), "x.grad": x.grad, "mean": layer.running_mean, "variance": layer.running_var}
    sums = {"weight": layer.weight.grad, "bias": layer.bias.grad}
    for objective, r1 in (("plain", 0.0), ("penalised", 2.0)):
        for which in range(2):
            model = made()
            turn = adversarial.Build(r1=r1).phases(model)[which]
            gradients = gradients_of(turn, model, batch(place, world))[1]
            sums |= {f"{objective}.{which}.{k}": g for k, g in gradients.items() if g is not None}
    return found, sums


def test_two_processes_normalise_as_one(tmp_path):
    """The layer against torch's own on the whole batch, and the gradients of both players: sums of two equal one."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(rank, (2, port, str(tmp_path)), nprocs=2)
    (first, one), (second, two) = (torch.load(tmp_path / f"{place}-of-2.pt") for place in range(2))
    whole, sums = shares()
    for key in ("y", "x.grad"):
        torch.testing.assert_close(torch.cat([first[key], second[key]]), whole[key], rtol=1e-4, atol=1e-5)
    for key in ("mean", "variance"):
        torch.testing.assert_close(first[key], whole[key])
        assert torch.equal(first[key], second[key])
    assert sums.keys() == one.keys() == two.keys()
    for key, value in sums.items():
        torch.testing.assert_close(one[key] + two[key], value, rtol=1e-3, atol=1e-5)


@pytest.fixture
def group(tmp_path):
    """This process as a group of its own."""
    dist.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels_last"])
def test_the_gradients_in_few_passes_are_right_and_so_are_theirs(group, form):
    """By finite differences, and against torch's own layer."""
    x = torch.randn(4, 3, 2, 5, dtype=torch.double).to(memory_format=form).requires_grad_()
    weight, bias = (torch.randn(3, dtype=torch.double, requires_grad=True) for _ in range(2))

    def norm(*inputs):
        return GlobalBatchNorm.apply(*inputs, 1e-5)[0]

    assert torch.autograd.gradcheck(norm, (x, weight, bias))
    assert torch.autograd.gradgradcheck(norm, (x, weight, bias))
    torch.testing.assert_close(norm(x, weight, bias), F.batch_norm(x, None, None, weight, bias, training=True))
    torch.testing.assert_close(norm(x, weight, bias), differentiable_batch_norm(x, weight, bias, 1e-5)[0])


def test_alone_it_is_torchs_own():
    x, layer = torch.randn(6, 3, 4, 4), BatchNorm2d(3)
    torch.testing.assert_close(layer(x), nn.BatchNorm2d(3)(x))
    copied = copy.deepcopy(layer).eval()
    torch.testing.assert_close(copied(x[:2]), copied(x)[:2])
