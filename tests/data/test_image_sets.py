"""Image sets of every form are read alike."""

import shutil

import numpy as np
import pytest
import torch
from evaluate_project import FAKE, PIXELS, write
from evaluate_project import here as here
from evaluate_project import judges as judges
from evaluate_project import project as project
from PIL import Image
from safetensors.torch import save_file

from genlib.data import image_sets as pictures
from genlib.data.images import Images, images_sha256


def forms(root):
    """The same fakes in every form that is read."""
    unit = PIXELS[FAKE][:, None] / np.float32(255)
    arrays = {
        "bytes": {"images": PIXELS[FAKE]},
        "last": {"arr_0": PIXELS[FAKE][..., None]},
        "unit": {"images": unit},
        "signed": {"pixels": unit.astype(np.float64) * 2 - 1},
        "half": {"images": unit.astype(np.float16)},
    }
    for name, each in arrays.items():
        np.savez(root / f"{name}.npz", **each)
    save_file({"pixels": torch.from_numpy(PIXELS[FAKE])[:, None]}, root / "first.safetensors")
    for at in range(FAKE.start, FAKE.stop):
        place = root / "deep/er" / f"{at:05d}"[:4] / "still"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(root.parent / "fake" / f"{at}.png", place)
    (root / "deep/notes.txt").write_text("not an image")
    return [*(f"{name}.npz" for name in arrays), "first.safetensors", "deep"]


def test_every_form_of_the_same_images_is_read_alike(here):
    (here / "forms").mkdir()
    expected = pictures.read_image_set(here / "fake", "--fake").resized_to((1, 8, 8)).pixels
    for form in forms(here / "forms"):
        found = pictures.read_image_set(here / "forms" / form, "--fake")
        assert torch.equal(found.resized_to((1, 8, 8)).pixels, expected), form


@pytest.mark.parametrize(
    ("files", "classes", "labels"),
    [
        (["b.png", "a10.png", "a9.png"], (), []),
        (["cat/1.png", "dog/1.png", "dog/2/x.png"], ("cat", "dog"), [0, 1, 1]),
        (["all/cat/1.png", "all/dog/1.png"], ("cat", "dog"), [0, 1]),
        (["10/1.png", "9/1.png", "empty/readme.txt", ".git/x.png"], ("9", "10"), [0, 1]),
        (["0.png", "cat/1.png", "dog/1.png"], (), []),
        (["only/1.png", "only/2.png"], (), []),
    ],
)
def test_which_folders_are_classes(tmp_path, files, classes, labels):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shade = np.full((4, 4), 10 * files.index(file), dtype=np.uint8)
        Image.fromarray(shade).save(tmp_path / file, format="png")
    found = pictures.read_image_set(tmp_path, "--real")
    assert (found.classes, list(found.labels)) == (classes, labels)
    assert len(found) == sum(file.endswith(".png") and not file.startswith(".") for file in files)


def test_a_folder_that_holds_itself_is_read_once(tmp_path):
    write(tmp_path / "a", slice(0, 3))
    (tmp_path / "a/again").symlink_to(tmp_path / "a")
    assert len(pictures.read_image_set(tmp_path / "a", "--real")) == 3


def test_colour_becomes_grey_as_pillow_makes_it_and_grey_becomes_colour():
    colour = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(each).convert("L")) for each in colour])
    pixels = torch.from_numpy(colour).permute(0, 3, 1, 2)
    assert pictures.convert_channels(pixels, 1)[:, 0].tolist() == grey.tolist()
    back = pictures.convert_channels(torch.from_numpy(grey)[:, None], 3)
    assert back.shape == (5, 3, 4, 6) and back[:, 2].tolist() == grey.tolist()


def test_labels_of_several_sets_mean_the_same_names():
    pixels = np.zeros((3, 4, 4), dtype=np.uint8)
    real = pictures.image_set_from_array(pixels, "real", np.array([2, 10, 2]))
    train = pictures.image_set_from_array(pixels, "train", np.array([7, 10, 7]))
    known = pictures.all_classes([real, train])
    assert known == ("2", "7", "10")
    assert real.resized_to((1, 4, 4), known).labels.tolist() == [0, 2, 0]
    assert train.resized_to((1, 4, 4), known).labels.tolist() == [1, 2, 1]
    assert train.resized_to((1, 4, 4), ("2", "7")).labels is None


def test_the_hash_of_a_set_is_of_pixels_shape_and_labels():
    pixels = torch.arange(24, dtype=torch.uint8)
    sets = [
        Images(pixels.view(2, 3, 2, 2)),
        Images(pixels.view(2, 3, 1, 4)),
        Images(pixels.view(2, 3, 2, 2).flip(0)),
        Images(pixels.view(2, 3, 2, 2), torch.tensor([0, 1])),
        Images(pixels.view(2, 3, 2, 2), torch.tensor([1, 1])),
    ]
    assert len({images_sha256({"": each}) for each in sets}) == 5
