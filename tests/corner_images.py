"""Images whose class is plain to see, a tiny classifier of them, and the inputs of metrics made of both."""

import torch
from torch import nn

from genlib.data.images import Images
from genlib.metrics.inputs import build_inputs

SHAPE, CLASSES = (1, 8, 8), 4


class TinyClassifier(nn.Module):
    """A tiny convolutional stand-in; `headed` lets its features and logits be read in one pass."""

    def __init__(self, shape=SHAPE, *, headed=True):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(shape[0], 6, 3), nn.Tanh(), nn.Flatten(), nn.LazyLinear(7), nn.Dropout())
        last = nn.Linear(7, CLASSES)
        self.body(torch.zeros(1, *shape))
        self.head = last if headed else None
        self.last = last

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.last(self.body(x))


def corner_images(n, seed, shape=SHAPE):
    """Each class is bright in its own corner, so that labels can be told."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    pixels = torch.randint(0, 60, (n, *shape), generator=g)
    for c, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        pixels[labels == c, :, y : y + 4, x : x + 4] += 150
    return Images(pixels.to(torch.uint8), labels)


def metric_inputs(n=120, **options):
    sets = [corner_images(size, seed) for seed, size in enumerate((300, 150, 140, 200))]
    return build_inputs(TinyClassifier(), *sets, n, 0, **options)
