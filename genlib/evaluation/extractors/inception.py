"""`inception:FILE`: the network of the published FID and inception score, Inception v3 as of 2015-12-05.

Weights: torch-fidelity's `weights-inception-2015-12-05-6726825d.pth` or pytorch-fid's
`pt_inception-2015-12-05-6726825d.pth`, or the state_dict of pytorch-fid's `InceptionV3`, which has no logits. Features
are the 2,048 of the last pool; the 1,008 logits leave out the bias, as the published inception scores do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.evaluation.extractors.image_network import ImageNetwork, NoClasses
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import Resampling, Resize, tensorflow1
from genlib.evaluation.extractors.weights import fill_network, name_extractor, read_state_dict

SIDE, FEATURES, CLASSES = 299, 2048, 1008
LEVEL = 128 / 255  # mean and deviation of grey levels: (level - 128) / 128
FILE = "inception-2015-12-05-6726825d.pth"
FILES = f"weights-{FILE} of torch-fidelity or pt_{FILE} of pytorch-fid"


def load(argument: str) -> NamedExtractor:
    return load_inception(argument, "inception", tensorflow1)


def load_inception(argument: str, name: str, resampling: Resampling, level: float = LEVEL) -> NamedExtractor:
    """`level`: mean and deviation by which images in [0, 1] are normalised."""
    path = Path(argument)
    weights = rename_blocks(read_state_dict(path))
    head = nn.Linear(FEATURES, CLASSES, bias=False) if "fc.weight" in weights else NoClasses()
    body = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    network = ImageNetwork(Inception(), head, Resize(resampling, SIDE), [level] * 3, [level] * 3)
    fill_network(network.body, body, path, "the FID network", FILES)
    if isinstance(head, nn.Linear):
        fill_network(head, {"weight": weights["fc.weight"]}, path, "the FID network", FILES)
    return name_extractor(network, name, "pool", path)


class Conv(NamedTuple):
    """A convolution: its name in the state_dict, width, kernel (height, width) and stride."""

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Step = Sequence[Conv]  # convolutions of the same input, side by side
Branch = Sequence[Step]


class ConvNorm(nn.Module):
    """relu(norm(conv(x)))"""

    def __init__(self, inputs: int, conv: Conv, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, conv.width, conv.kernel, conv.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(conv.width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches of convolutions and a pooled one, side by side; those of stride 2 have no padding, as the pool then."""

    def __init__(self, inputs: int, branches: Sequence[Branch], pool: nn.Module, pooled: int | None) -> None:
        super().__init__()
        self.branches, self.pool = branches, pool
        self.width = inputs if pooled is None else pooled
        for branch in branches:
            self.width += self._add_branch(inputs, branch)
        if pooled is not None:
            self.branch_pool = ConvNorm(inputs, Conv("branch_pool", pooled), (0, 0))

    def _add_branch(self, inputs: int, branch: Branch) -> int:
        """Its width."""
        for step in branch:
            for conv in step:
                height, width = conv.kernel
                padding = (height // 2, width // 2) if conv.stride == 1 else (0, 0)
                self.add_module(conv.name, ConvNorm(inputs, conv, padding))
            inputs = sum(conv.width for conv in step)
        return inputs

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x)
        last = self.branch_pool(pooled) if hasattr(self, "branch_pool") else pooled
        return torch.cat([*(self._follow(branch, x) for branch in self.branches), last], 1)

    def _follow(self, branch: Branch, x: Tensor) -> Tensor:
        for step in branch:
            x = torch.cat([self.get_submodule(conv.name)(x) for conv in step], 1)
        return x


def chain(name: str, *convs: tuple[int, int, int] | tuple[int, int, int, int]) -> Branch:
    """Convolutions `name`_1, `name`_2 ... of (width, height, width of the kernel[, stride])."""
    return [
        [Conv(f"{name}_{index}", width, (height, across), *stride)]
        for index, (width, height, across, *stride) in enumerate(convs, 1)
    ]


def fork(name: str, width: int) -> Step:
    """1 x 3 and 3 x 1, side by side."""
    return [Conv(f"{name}a", width, (1, 3)), Conv(f"{name}b", width, (3, 1))]


def grid_35(inputs: int, pooled: int) -> Mixed:
    five, double = chain("branch5x5", (48, 1, 1), (64, 5, 5)), chain("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3))
    return Mixed(inputs, [[[Conv("branch1x1", 64)]], five, double], average_pool(), pooled)


def reduce_to_17(inputs: int) -> Mixed:
    double = chain("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3, 2))
    return Mixed(inputs, [[[Conv("branch3x3", 384, (3, 3), 2)]], double], nn.MaxPool2d(3, 2), None)


def grid_17(inputs: int, width: int) -> Mixed:
    seven = chain("branch7x7", (width, 1, 1), (width, 1, 7), (192, 7, 1))
    double = chain("branch7x7dbl", (width, 1, 1), (width, 7, 1), (width, 1, 7), (width, 7, 1), (192, 1, 7))
    return Mixed(inputs, [[[Conv("branch1x1", 192)]], seven, double], average_pool(), 192)


def reduce_to_8(inputs: int) -> Mixed:
    three = chain("branch3x3", (192, 1, 1), (320, 3, 3, 2))
    seven = chain("branch7x7x3", (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, 2))
    return Mixed(inputs, [three, seven], nn.MaxPool2d(3, 2), None)


def grid_8(inputs: int, pool: nn.Module) -> Mixed:
    three = [*chain("branch3x3", (384, 1, 1)), fork("branch3x3_2", 384)]
    double = [*chain("branch3x3dbl", (448, 1, 1), (384, 3, 3)), fork("branch3x3dbl_3", 384)]
    return Mixed(inputs, [[[Conv("branch1x1", 320)]], three, double], pool, 192)


def average_pool() -> nn.Module:
    """Of what lies in the image: padding does not count."""
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


class Inception(nn.Module):
    """Images [n, 3, 299, 299] -> features [n, 2048] (Szegedy et al. 2016), with the max pool of the last block that the
    network of 2015-12-05 has."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, Conv("", 32, (3, 3), 2), (0, 0))
        self.Conv2d_2a_3x3 = ConvNorm(32, Conv("", 32, (3, 3)), (0, 0))
        self.Conv2d_2b_3x3 = ConvNorm(32, Conv("", 64, (3, 3)), (1, 1))
        self.MaxPool_1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = ConvNorm(64, Conv("", 80), (0, 0))
        self.Conv2d_4a_3x3 = ConvNorm(80, Conv("", 192, (3, 3)), (0, 0))
        self.MaxPool_2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = grid_35(192, 32), grid_35(256, 64), grid_35(288, 64)
        self.Mixed_6a = reduce_to_17(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d = grid_17(768, 128), grid_17(768, 160), grid_17(768, 160)
        self.Mixed_6e = grid_17(768, 192)
        self.Mixed_7a = reduce_to_8(768)
        self.Mixed_7b, self.Mixed_7c = grid_8(1280, average_pool()), grid_8(2048, nn.MaxPool2d(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x.mean((2, 3))


# Where the layers lie in pytorch-fid's `InceptionV3`: the modules of four blocks, in order.
BLOCKS = {
    "0": ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    "1": ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    "2": ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    "3": ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}


def rename_blocks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of the FID network, also where they are those of pytorch-fid's blocks."""
    prefixes = {f"blocks.{block}.{index}": name for block, names in BLOCKS.items() for index, name in enumerate(names)}
    renamed = {}
    for key, value in weights.items():
        prefix, rest = ".".join(key.split(".")[:3]), key.split(".")[3:]
        renamed[".".join([prefixes[prefix], *rest]) if prefix in prefixes else key] = value
    return renamed
