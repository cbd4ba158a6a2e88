"""What the GANs of other makes are given: our nets as they expect them, and digits as torchvision serves MNIST."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST, VisionDataset

from benchmarks.loops import BATCH, Task
from genlib.data.images import Images
from genlib.models.parts.players import Players


def players(task: Task, shape: tuple[int, int, int]) -> tuple[nn.Module, nn.Module, int]:
    """G of noise [n, latent, 1, 1], D that gives logits [n], and the size of the noise."""
    model = cast(Players, task.start(shape)[0].model.to(memory_format=torch.contiguous_format))
    return nn.Sequential(nn.Flatten(), model.generator), nn.Sequential(model.discriminator, nn.Flatten(0)), model.latent


class Digits(MNIST):
    """Images in memory, each of which becomes a PIL image and then a tensor when it is asked for, as in MNIST."""

    def __init__(self, images: Images) -> None:
        side = transforms.Resize(images.shape[1:])
        steps = transforms.Compose([side, transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
        VisionDataset.__init__(self, root="", transform=steps)
        self.data, self.targets = images.pixels[:, 0], images.labels


def loader(images: Images) -> DataLoader[tuple[Tensor, Tensor]]:
    """In the process that trains, like everything here."""
    return DataLoader(Digits(images), BATCH, shuffle=True, drop_last=True)
