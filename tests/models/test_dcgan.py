"""DCGAN, the one model with batch normalisation."""

import pytest
import torch
import torch.distributed as dist
from phases import gradients_of

from genlib.data.batches import batches
from genlib.data.images import Images
from genlib.models import dcgan
from genlib.models.layers.batch_norm import BatchNorm2d
from genlib.objectives import adversarial
from genlib.registry import build

SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 9, 13)]


def made(shape=(1, 16, 16)):
    torch.manual_seed(0)
    return build("models", {"name": "dcgan", "latent": 3, "width": 4, "width_d": 5}, shape, 0)


def batch(rank=0, world=1):
    pixels = torch.randint(256, (24, 1, 16, 16), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return next(batches(Images(pixels), 12, seed=3, rank=rank, world=world))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_players_make_images_and_judge_them(shape):
    model = made(shape)
    x = model.decode_image(torch.randn(4, 3))
    assert x.shape == (4, *shape) and x.abs().max() <= 1
    assert model.discriminator(x).shape == (4, 1)


def test_a_sample_is_a_function_of_the_seed_alone():
    model = made()
    longer = model.sample(5, seed=1)
    torch.testing.assert_close(model.sample(3, seed=1), longer[:3])
    assert model.training and not longer.requires_grad


def test_at_32_pixels_the_nets_are_those_of_the_example():
    """Parameters counted by hand: 4x4 kernels without biases, and two numbers a channel of each normalisation."""
    model = dcgan.Build((1, 32, 32), 0)
    g = 16 * (100 * 128 + 128 * 64 + 64 * 32 + 32 * 1) + 2 * (128 + 64 + 32)
    d = 16 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 1) + 2 * (64 + 128)
    assert sum(p.numel() for p in model.generator.parameters()) == g
    assert sum(p.numel() for p in model.discriminator.parameters()) == d


@pytest.mark.parametrize("which", [0, 1], ids=["d", "g"])
def test_each_turn_moves_every_parameter_of_its_player_and_no_other(which):
    model = made()
    turn = adversarial.Build().phases(model)[which]
    _, gradients = gradients_of(turn, model, batch())
    own = {id(p) for p in turn.module.parameters()}
    for name, parameter in model.named_parameters():
        moved = gradients[name] is not None and bool(gradients[name].abs().sum() > 0)
        assert moved == (id(parameter) in own), name


def test_real_and_generated_images_are_judged_apart():
    """Joined, the statistics of one half would tell of the other."""
    model, sizes = made(), []
    model.discriminator[0].register_forward_hook(lambda layer, inputs, output: sizes.append(len(inputs[0])))
    adversarial.Build().phases(model)[0].step_losses(batch())
    assert sizes == [12, 12]


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
