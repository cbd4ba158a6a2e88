"""Contact sheets show what the model generates and what the classifier sees, image by image."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from genlib import latent
from genlib.data.images import Images, to_pixels
from genlib.figures.contact_sheets import interpolations, sample_neighbours, traversals, write_contact_sheets
from genlib.metrics.classification import confusion_matrix
from genlib.metrics.inputs import build_inputs
from genlib.registry import build

SHAPE, CLASSES = (1, 16, 16), 4


class Judge(torch.nn.Module):
    """Sees pixels."""

    def features(self, x):
        return x.flatten(1)

    def forward(self, x):
        return x.flatten(1)[:, :CLASSES]


def images(n, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, *SHAPE), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % CLASSES)


def evidence(model=None, fakes=90):
    made = None if model is None else build("models", {**model, "width": 4}, SHAPE, CLASSES, where="model").eval()
    sets = [images(size, seed) for seed, size in enumerate((120, 100, 100, fakes))]
    return build_inputs(Judge(), *sets, 100, 0, model=made)


def test_beside_each_sample_stand_those_nearest_to_it():
    e = evidence()
    cells, says = sample_neighbours(e)
    assert cells.shape == (64, 8, *SHAPE)
    assert torch.equal(cells[:, 0], e.generated.pixels[:64])
    made, train = (view.features.double() for view in (e.generated, e.train))
    apart, twins = torch.cdist(made[:64], train), torch.cdist(made[:64], made)
    twins[torch.arange(64), torch.arange(64)] = torch.inf
    among = torch.cdist(train, train).fill_diagonal_(torch.inf).amin(1)
    for row in range(64):
        order, others = apart[row].argsort()[:4], twins[row].argsort()[:3]
        assert torch.equal(cells[row, 1:5], e.train.pixels[order])
        assert torch.equal(cells[row, 5:], e.generated.pixels[others])
        expected = torch.cat([apart[row][order], twins[row][others]]) / among[order[0]]
        assert says["distances"][row] == pytest.approx(expected.tolist(), abs=1e-3)


def test_fewer_images_give_smaller_sheets():
    cells, says = sample_neighbours(evidence(fakes=3))
    assert cells.shape == (3, 7, *SHAPE)
    assert (says["train"], says["alike"], len(says["distances"])) == (4, 2, 3)


@pytest.mark.parametrize("name", ["vae", "cvae", "autoencoder", "gan", "cgan"])
def test_walks_of_every_model_begin_and_end_where_they_say(name):
    e = evidence({"name": name, "latent": 7})
    (ways, _), (lines, says) = interpolations(e), traversals(e)
    assert ways.shape[1:] == lines.shape[1:] == (17, *SHAPE)
    assert len(lines) == len(says["axes"]) == len(set(says["axes"])) == 6
    assert (ways[:, 0] != ways[:, -1]).any()
    if name == "vae":
        z = latent.encode_mean(e.model, e.test.pixels[:2] / 127.5 - 1)
        ends = to_pixels(latent.decode_image(e.model, z))
        assert (ways[0, [0, -1]].int() - ends.int()).abs().max() <= 1


def test_a_code_of_two_has_two_axes():
    assert len(traversals(evidence({"name": "gan", "latent": 2}))[0]) == 2


def test_files_hold_what_was_made_pixel_for_pixel(tmp_path):
    e = evidence({"name": "gan", "latent": 7})
    paths = write_contact_sheets(e, tmp_path / "sheets")
    assert [path.name for path in paths] == ["neighbours.png", "between.png", "axes.png"]
    assert sorted(path.suffix for path in paths[0].parent.iterdir()) == [".json"] * 3 + [".png"] * 3
    cells, _ = sample_neighbours(e)
    seen = np.asarray(Image.open(paths[0]))
    says = json.loads(paths[0].with_suffix(".json").read_text())
    assert np.array_equal(seen[16 * 5 : 16 * 6, 16 * 2 : 16 * 3], cells[5, 2, 0].numpy())
    assert seen.shape == (16 * says["rows"], 16 * says["columns"])


def test_large_coloured_images_are_brought_down(tmp_path):
    tall = torch.arange(100 * 160, dtype=torch.float32).view(1, 1, 100, 160) / (100 * 160) * 255
    pixels = tall.round().to(torch.uint8).repeat(30, 3, 1, 1)
    one = Images(pixels, torch.arange(30) % CLASSES)
    [path] = write_contact_sheets(build_inputs(Judge(), one, one, one, one, 30, 0), tmp_path)
    seen = np.asarray(Image.open(path))
    assert seen.shape == (30 * 40, 8 * 64, 3)
    assert np.array_equal(seen[:40, :64], seen[-40:, -64:])


def test_what_makes_no_images_has_no_sheets(tmp_path):
    sets = [images(size, seed) for seed, size in enumerate((30, 30, 30))]
    assert write_contact_sheets(build_inputs(Judge(), *sets, None, 30, 0), tmp_path / "sheets") == []


def test_the_confusion_matrix_counts_every_image_once():
    labels, classes = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 2, 1, 2])
    assert confusion_matrix(labels, classes, 3) == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
