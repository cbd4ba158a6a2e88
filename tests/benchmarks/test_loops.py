"""What the benchmarks of training count with: windows, operations and intervals, against closed forms."""

import itertools

import pytest
import torch
from torch import nn

from benchmarks import flops, loops
from genlib.data.images import Images, save_images


def test_a_window_counts_what_is_done_after_its_warm_up(monkeypatch):
    """Steps of 0.25 s with 512 images each: 2,048 images a second, whenever the window ends."""
    clock = itertools.count()
    monkeypatch.setattr(loops.time, "perf_counter", lambda: next(clock) / 4)

    def run(window):
        for _ in range(1000):
            window.step(512)

    assert loops.images_per_second(run, 1.0) == loops.images_per_second(run, 3.1) == 2048


@pytest.mark.parametrize("side", [16, 32])
def test_operations_of_a_step_are_those_of_its_convolutions(side, tmp_path):
    """Forward, a layer costs two operations a weight and place; backward, as much again for its weights and for its
    input, where those are asked for."""
    images = Images(torch.zeros(200, 1, side, side, dtype=torch.uint8))
    save_images(images, tmp_path / "images")
    model = {"name": "dcgan", "latent": 8, "width": 4, "width_d": 6}
    task = loops.Task(model, {"name": "adversarial"}, str(tmp_path / "images"), threads=1)
    players = task.start(images.shape)[0].model
    g = forward(players.generator, torch.zeros(1, 8))
    d = forward(players.discriminator, torch.zeros(1, 1, side, side))
    d_turn = sum(g) + 2 * (3 * sum(d) - d[0])
    g_turn = (3 * sum(g) - g[0]) + 2 * sum(d)
    assert flops.count_flops(task) == d_turn + g_turn


def forward(net, x):
    """Operations of each layer of `net` on one example."""
    found = []
    for layer in net:
        y = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            found.append(2 * x[0, 0].numel() * layer.weight.numel())
        elif isinstance(layer, nn.Conv2d):
            found.append(2 * y[0, 0].numel() * layer.weight.numel())
        x = y
    return found
