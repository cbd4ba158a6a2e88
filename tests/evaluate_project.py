"""Digits as image sets, and `genlib evaluate` of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import models
from untrained_models import write_untrained_model

from genlib.cli import main

BUNCH = load_digits()

PIXELS, LABELS = (BUNCH.images * (255 / 16)).round().astype(np.uint8), BUNCH.target

REAL, TRAIN, FAKE = slice(0, 200), slice(200, 360), slice(360, 460)

QUICK = "kid,authenticity"


def write(folder, rows, labelled=False, **kinds):
    """Digits as PNG files, flat or in class folders; `kinds` are other modes and sizes."""
    for at in range(rows.start, rows.stop):
        place = folder / str(LABELS[at]) if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(PIXELS[at]).convert(kinds.get("mode", "L"))
        image.resize(kinds.get("size", (8, 8))).save(place / f"{at}.png")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Digits: real and train in class folders, flat fakes that are digits too, and what else may be judged."""
    root = tmp_path_factory.mktemp("images")
    write(root / "real", REAL, labelled=True)
    write(root / "train", TRAIN, labelled=True)
    write(root / "fake", FAKE)
    write(root / "flat", REAL)
    return root


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


def judged(*more, real="real", fake="fake", metrics=QUICK):
    only = ["--metrics", metrics] if metrics else []
    return main(["evaluate", "--real", str(real), "--fake", str(fake), *only, *map(str, more)])


def strictly(path):
    """JSON that has no NaN and no infinity."""

    def refuse(word):
        raise AssertionError(f"{word} in {path}")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    """A folder of an untrained judge of 8x8 digits, one of a model that is none, and weights of a small network."""
    root = tmp_path_factory.mktemp("judges")
    for name, config in (
        ("judge", {"name": "resnet_classifier", "width": 4}),
        ("vae", {"name": "vae", "width": 4, "latent": 4}),
    ):
        write_untrained_model(config, root / name)
    net = models.get_model("shufflenet_v2_x0_5", weights=None)
    torch.save(net.state_dict(), root / "net.pth")
    return root


def broken(folder):
    """40 real images with three more files that cannot be read."""
    write(folder, slice(0, 40))
    (folder / "cut.png").write_bytes((folder / "3.png").read_bytes()[:60])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    return folder


def mixed(folder, **kinds):
    write(folder, slice(0, 30))
    return write(folder, slice(30, 40), **kinds)


def arrays(folder, **content):
    folder.mkdir(parents=True)
    np.savez(folder / "x.npz", **content)
    return folder / "x.npz"
