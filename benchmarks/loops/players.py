"""What the GANs of other makes are given: nets as their users write them, and digits as torchvision serves MNIST."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST, VisionDataset

from benchmarks.loops import BATCH, Task
from genlib.data.images import Images


def build_gan(task: Task, shape: tuple[int, int, int]) -> tuple[nn.Sequential, nn.Sequential, int]:
    """G of noise [n, latent, 1, 1], D that gives logits [n], and the size of the noise.

    Of torch's own layers, as those who use these loops write them; with the parameters of ours.
    """
    latent, width = task.model["latent"], task.model["width"]
    g, d = (mlp_nets if task.model.get("net") == "mlp" else dcgan_nets)(shape, latent, width)
    assert parameter_sizes(nn.ModuleList([g, d])) == parameter_sizes(task.start(shape)[0].model)
    return g, d, latent


def mlp_nets(shape: tuple[int, int, int], latent: int, w: int) -> tuple[nn.Sequential, nn.Sequential]:
    pixels = shape[0] * shape[1] * shape[2]

    def rectified(inputs: int) -> list[nn.Module]:
        layers = [(nn.Linear(wide, w), nn.LeakyReLU(0.2, True)) for wide in (inputs, w, w)]
        return [nn.Flatten(), *(layer for pair in layers for layer in pair)]

    g = nn.Sequential(*rectified(latent), nn.Linear(w, pixels), nn.Tanh(), nn.Unflatten(1, shape))
    return g, nn.Sequential(*rectified(pixels), nn.Linear(w, 1), nn.Flatten(0))


def dcgan_nets(shape: tuple[int, int, int], latent: int, w: int) -> tuple[nn.Sequential, nn.Sequential]:
    """At 32 pixels."""
    g = nn.Sequential(
        *(nn.ConvTranspose2d(latent, 4 * w, 4, bias=False), nn.BatchNorm2d(4 * w), nn.ReLU(True)),
        *(nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * w), nn.ReLU(True)),
        *(nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(True)),
        *(nn.ConvTranspose2d(w, shape[0], 4, 2, 1, bias=False), nn.Tanh()),
    )
    d = nn.Sequential(
        *(nn.Conv2d(shape[0], w, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)),
        *(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2, True)),
        *(nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * w), nn.LeakyReLU(0.2, True)),
        *(nn.Conv2d(4 * w, 1, 4, bias=False), nn.Flatten(0)),
    )
    return g, d


def parameter_sizes(model: nn.Module) -> list[int]:
    """How many numbers each of its parameters has."""
    return sorted(parameter.numel() for parameter in model.parameters())


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
