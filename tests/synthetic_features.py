"""Feature sets with known distributions, and images to extract features from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.evaluation.controls import add_controls
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.precision_recall import coverage, density, precision, recall
from genlib.metrics.stats.pairs import pairs_within

CLASSES, D = 10, 12


CENTRES = torch.randn(CLASSES, D, generator=torch.Generator().manual_seed(9)) * 4


def view(features, classes=None, logits=None):
    """A view with these features; the judge is nearly sure of `classes`, by default the nearest centre."""
    n = len(features)
    if logits is None:
        classes = torch.cdist(features.double(), CENTRES.double()).argmin(1) if classes is None else classes
        logits = torch.nn.functional.one_hot(classes, CLASSES).double() * 8
    return FeatureSet(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), None, features, logits.softmax(1))


def real(n, seed):
    """n draws of a mixture of ten Gaussians."""
    g = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, CLASSES, (n,), generator=g)
    return view(CENTRES[classes] + torch.randn(n, D, generator=g))


def evidence(fake, n=None, train=2000):
    n = len(fake) if n is None else n
    return MetricInputs(real(train, 1), real(max(n, 400), 2), real(max(n, 400), 3), fake, seed=0)


def planted(k, n, jitter=1e-4, seed=5):
    g = torch.Generator().manual_seed(seed)
    stored = real(k, seed).features
    return view(stored[torch.randint(0, k, (n,), generator=g)] + jitter * torch.randn(n, D, generator=g))


def noisy(amount, n=600):
    x = real(n, 4).features
    return view(x + amount * torch.randn(n, D, generator=torch.Generator().manual_seed(6)))


def rows(n, d, seed, scale=1.0, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale + shift


def labelled(some, labels):
    return replace(some, labels=labels)


def asked(made, test=None):
    e = evidence(made)
    test = e.test if test is None else test
    return replace(e, samples=labelled(made, made.predicted_classes), test=labelled(test, test.predicted_classes))


def between(x, y):
    """Evidence of features x against test features y, as many of each."""
    x, y = (view(part, torch.zeros(len(part), dtype=torch.long)) for part in (x, y))
    return MetricInputs(y, y, y, x, 0)


PRDC = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def inside(x, y, of_x, of_y):
    """Whether each pair lies within the radius of its row, and of its column, bool [n, m]."""
    found = torch.zeros(2, len(x), len(y), dtype=torch.bool)
    for parts in pairs_within(x, y, of_x, of_y):
        for which, (row, column) in zip(found, parts, strict=True):
            which[row, column] = True
    return found


SAMPLE_METRICS = ("authenticity", "coverage", "frechet", "inception_score", "kid", "support")


def blobs(n, seed, size=16, channels=1):
    """Smooth dark-edged random images, uint8, as unlike each other as digits of one class."""
    g = torch.Generator().manual_seed(seed)
    seeds = F.pad(torch.rand(n, channels, 5, 5, generator=g), (1, 1, 1, 1))
    x = F.interpolate(seeds, size=(size, size), mode="bicubic", align_corners=False)
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def seen(pixels, labels=None):
    """A view whose features are the coarse pixels, and whose judge tells two classes by the first of those."""
    features = F.adaptive_avg_pool2d(pixels.float() / 255, 4).flatten(1)
    classes = (features[:, 5] > 0.5).long()
    return FeatureSet(pixels, labels, features, F.one_hot(classes, 2).float())


def of_pixels(made, n=300):
    """Evidence of 600 training, and 400 valid and test images."""
    return MetricInputs(seen(blobs(600, 1)), seen(blobs(400, 2)), seen(blobs(400, 3)), seen(made[:n]), seed=0)


def moved(pixels, how):
    ndimage = pytest.importorskip("scipy.ndimage")
    change = {
        "exact": lambda x: x,
        "shifted": lambda x: ndimage.shift(x, (1, 0), order=0),
        "rotated": lambda x: ndimage.rotate(x, 5, reshape=False),
        "mirrored": lambda x: x[:, ::-1],
        "zoomed": lambda x: ndimage.affine_transform(x, [0.9, 0.9], [0.05 * (side - 1) for side in x.shape]),
        "cropped": lambda x: ndimage.zoom(
            x[1:-1, 1:-1], [side / (side - 2) for side in x.shape], grid_mode=True, mode="nearest"
        ),
    }[how]
    found = [change(x.double().numpy()) for x in pixels[:, 0]]
    return torch.from_numpy(np.stack(found)).round().clamp(0, 255).to(torch.uint8)[:, None]


@pytest.fixture(scope="module")
def digits():
    """The 8x8 digits, 359 generated ones being real, as a judge sees them who knows their principal components and the
    nearest class mean; and the controls, all seen by a second judge too, who knows pixels."""
    datasets = pytest.importorskip("sklearn.datasets")
    all_ = datasets.load_digits()
    pixels = torch.from_numpy(all_.images * 15).round().to(torch.uint8)[:, None]
    pixels, labels = (
        x[torch.randperm(1797, generator=seeded_generator("digits"))] for x in (pixels, torch.from_numpy(all_.target))
    )
    x = pixels.flatten(1).double()
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:20].T

    def judge(axes):
        means = torch.stack([((x - x.mean(0)) @ axes)[labels == c].mean(0) for c in range(10)])

        def look(images):
            features = (images.pixels.flatten(1).double() - x.mean(0)) @ axes
            return FeatureSet(
                images.pixels, images.labels, features.float(), (-torch.cdist(features, means)).softmax(1)
            )

        return look

    def seen(look):
        parts = (slice(0, 720), slice(720, 1079), slice(1079, 1438), slice(1438, 1797))
        return add_controls(MetricInputs(*(look(Images(pixels[part], labels[part])) for part in parts), seed=0), look)

    return replace(seen(judge(axes)), second_inputs=seen(judge(torch.eye(64, dtype=torch.float64)[:, ::2])))
