"""`genlib evaluate`: folders and files of images that nothing here made, and one line for each that is wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from prepared import digits
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torchvision import models

import genlib
from genlib import provenance
from genlib.cli import main
from genlib.data import image_sets as pictures
from genlib.data.images import Images
from genlib.errors import InputError
from genlib.metrics.registry import get_metric, metric_names
from genlib.registry import build

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


# what comes out


@pytest.fixture(scope="module")
def whole(project):
    """Everything, twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr(provenance, "commit", lambda root: "c" * 40)
        again = ["--train", "train", "--json"]
        assert judged(*again, "made/a/m.json", "--html", "made/a/m.html", metrics=None) == 0
        assert judged(*again, "made/b/m.json", metrics=None) == 0
    return project / "made"


def test_every_metric_of_generated_images_is_there_with_its_null(whole):
    found = strictly(whole / "a/m.json")
    assert set(found) == {"metrics", "verdicts", "card"}
    assert list(found["metrics"]) == [name for name in metric_names() if get_metric(name).needs == "samples"]
    for name, measure in found["metrics"].items():
        assert {"value", "low", "high", "null", "n", "detail"} == set(measure)
        assert measure["value"] is not None or measure["detail"]["reason"], name
        assert measure["n"] == 100
    for name in ("kid", "authenticity", "coverage", "precision"):
        assert found["metrics"][name]["value"] is not None and found["metrics"][name]["null"] is not None
    assert found["metrics"]["authenticity"]["detail"]["controls"]["copies"]["failed"] is None


def test_the_card_says_what_the_numbers_are_made_of(whole):
    card = strictly(whole / "a/m.json")["card"]
    assert card["counts"] == {"train": 160, "valid": 100, "test": 100, "fake": 100}
    assert (card["n"], card["seed"], card["shape"]) == (100, 0, [1, 8, 8])
    assert card["shared"] == {"real_in_train": 0, "fake_in_real": 0, "fake_in_train": 0}
    assert {name: source["images"] for name, source in card["sources"].items()} == {
        "real": 200,
        "fake": 100,
        "train": 160,
    }
    assert card["sources"]["real"]["classes"] == [str(label) for label in range(10)]
    rank = np.linalg.matrix_rank(PIXELS[TRAIN].reshape(-1, 64) - PIXELS[TRAIN].reshape(-1, 64).mean(0))
    assert (card["judge"]["extractor"], card["judge"]["layer"]) == ("pca", f"components[{min(rank, 200 // 4)}]")
    assert card["judge"]["note"] == "No judge given: principal components of pixels."
    assert card["judge"]["accuracy"] is None
    hashes = [*(source["sha256"] for source in card["sources"].values()), card["judge"]["sha256"]]
    assert len(set(hashes)) == 4 and {len(each) for each in hashes} == {64}
    assert card["version"] and card["commit"] == "c" * 40


def test_twice_gives_the_same_bytes(whole):
    assert (whole / "a/m.json").read_bytes() == (whole / "b/m.json").read_bytes()


def test_the_page_says_who_looked_and_holds_its_pictures(whole):
    page = (whole / "a/m.html").read_text()
    assert page.startswith("<!doctype html>") and "No judge given: principal components of pixels." in page
    assert page.count("data:image/webp;base64,") >= 3
    assert "genlib evaluate --real=real --fake=fake --train=train" in page
    assert sorted(path.name for path in (whole / "a").iterdir()) == ["m.html", "m.json"]


def test_a_line_for_each_metric_and_one_for_who_looked(here, capsys):
    assert judged("--train", "train") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "evaluate: No judge given: principal components of pixels."
    assert said[1] == "evaluate: 100 of 100 generated images are held against 100 of 200 real ones"
    assert [line.split()[1] for line in said[2:4]] == QUICK.split(",")


def test_without_training_images_what_needs_them_says_so(here, tmp_path):
    assert judged("--json", tmp_path / "m.json", "--html", tmp_path / "m.html", metrics=f"{QUICK},support") == 0
    found = strictly(tmp_path / "m.json")
    authenticity, kid, support = (found["metrics"][name] for name in ("authenticity", "kid", "support"))
    assert authenticity["value"] is None and authenticity["null"] is None
    assert authenticity["detail"]["reason"] == "no training images were given: --train"
    assert kid["value"] is not None and support["value"] is not None
    assert "train" not in found["card"]["sources"] and found["card"]["shared"] == {"fake_in_real": 0}


def test_copies_and_noise_do_not_pass(here, tmp_path):
    write(tmp_path / "copies", slice(TRAIN.start, TRAIN.start + 100))
    noise = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=noise)
    for fake in ("copies", "noise.npz"):
        out = tmp_path / f"{fake}.json"
        assert judged("--train", "train", "--json", out, fake=tmp_path / fake) == 0
    copies, noise = (strictly(tmp_path / f"{fake}.json")["metrics"] for fake in ("copies", "noise.npz"))
    assert copies["authenticity"]["value"] == 0 and copies["authenticity"]["null"] > 0.3
    assert noise["kid"]["low"] > noise["kid"]["detail"]["null"]["high"]


def test_it_is_the_library_function(here, tmp_path):
    assert judged("--train", "flat", "--json", tmp_path / "m.json", real="flat") == 0
    ours = genlib.evaluate(PIXELS[REAL], PIXELS[FAKE], torch.from_numpy(PIXELS[REAL]), metrics=QUICK.split(","))
    found = strictly(tmp_path / "m.json")["metrics"]
    assert {name: measure.value for name, measure in ours.items()} == {name: found[name]["value"] for name in ours}


def test_the_library_takes_any_module_that_looks():
    class Halves(torch.nn.Module):
        def features(self, x):
            return torch.stack([x[:, :, :4].mean((1, 2, 3)), x[:, :, 4:].mean((1, 2, 3))], 1)

        def forward(self, x):
            return self.features(x)

    found = genlib.evaluate(PIXELS[REAL], PIXELS[FAKE], extractor=Halves(), metrics=["frechet"])
    assert 0 <= found["frechet"].value < 0.05
    with pytest.raises(InputError, match="metrics: found 'fretchet'"):
        genlib.evaluate(PIXELS[REAL], PIXELS[FAKE], metrics=["fretchet"])


def test_images_that_are_in_two_sets_are_counted(here, tmp_path, capsys):
    assert judged("--train", "real", "--json", tmp_path / "m.json", fake="flat", metrics="kid") == 0
    said = capsys.readouterr().out
    assert "200 of 200 images of --real are also in --train, byte for byte" in said
    shared = strictly(tmp_path / "m.json")["card"]["shared"]
    assert shared == {"real_in_train": 200, "fake_in_real": 200, "fake_in_train": 200}


# every form of the same images


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


# who looks


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    """A folder of an untrained judge of 8x8 digits, one of a model that is none, and weights of a small network."""
    root = tmp_path_factory.mktemp("judges")
    for name, config in (
        ("judge", {"name": "resnet_classifier", "width": 4}),
        ("vae", {"name": "vae", "width": 4, "latent": 4}),
    ):
        torch.manual_seed(0)
        (root / name).mkdir()
        save_file(build("models", config, (1, 8, 8), 10).state_dict(), root / name / "model.safetensors")
        (root / name / "config.json").write_text(json.dumps({"model": config, "shape": [1, 8, 8], "classes": 10}))
    net = models.get_model("shufflenet_v2_x0_5", weights=None)
    torch.save(net.state_dict(), root / "net.pth")
    return root


def test_a_judge_says_how_often_it_is_right(here, judges, tmp_path):
    assert judged("--extractor", judges / "judge", "--json", tmp_path / "m.json") == 0
    judge = strictly(tmp_path / "m.json")["card"]["judge"]
    digest = hashlib.sha256((judges / "judge/model.safetensors").read_bytes()).hexdigest()
    assert (judge["extractor"], judge["layer"], judge["sha256"]) == ("judge", "features[32]", digest)
    assert 0 <= judge["accuracy"] < 0.5 and "note" not in judge


def test_class_folders_of_fakes_are_what_was_asked_for(here, judges, tmp_path):
    write(tmp_path / "asked", FAKE, labelled=True)
    asked = [name for name in metric_names() if get_metric(name).needs == "labelled_samples"]
    assert asked
    for fake, known in (("fake", False), (tmp_path / "asked", True)):
        out = tmp_path / f"{known}.json"
        assert judged("--extractor", judges / "judge", "--json", out, fake=fake, metrics=f"kid,{asked[0]}") == 0
        reason = strictly(out)["metrics"][asked[0]]["detail"].get("reason", "")
        assert ("was not asked for classes" in reason) != known


def test_labels_that_the_judge_does_not_know_are_left_aside(here, judges, tmp_path, capsys):
    for at in range(60):
        (tmp_path / "odd" / "abc"[at % 3]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[at]).save(tmp_path / "odd" / "abc"[at % 3] / f"{at}.png")
    out = tmp_path / "m.json"
    assert judged("--extractor", judges / "judge", "--json", out, real=tmp_path / "odd", metrics="kid") == 0
    assert "labels are left aside: there are 3 classes, and the judge knows 10" in capsys.readouterr().out
    assert strictly(out)["card"]["judge"]["accuracy"] is None


def test_a_network_of_torchvision_looks(here, judges, tmp_path):
    write(tmp_path / "real", slice(0, 12))
    out = tmp_path / "m.json"
    extractor = f"shufflenet_v2_x0_5:{judges / 'net.pth'}"
    assert judged("--extractor", extractor, "--json", out, real=tmp_path / "real", metrics="kid") == 0
    judge = strictly(out)["card"]["judge"]
    assert (judge["extractor"], judge["layer"]) == ("shufflenet_v2_x0_5", "penultimate[1024]")


# what is wrong and is judged all the same


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


WRONG = {
    "unreadable files": (
        broken,
        "--fake: left out 3 of 43 files",
        "cut.png: found an image that cannot be read",
    ),
    "other sizes": (
        lambda folder: mixed(folder, size=(16, 9)),
        "--fake: 10 of 40 images are resized or converted to 1x8x8",
        "--fake: got 10 of 40 images of another shape, expected 1x8x8",
    ),
    "colour": (
        lambda folder: mixed(folder, mode="RGB"),
        "--fake: 10 of 40 images are resized or converted to 1x8x8",
        "--fake: got 10 of 40 images of another shape, expected 1x8x8",
    ),
    "all of another size": (
        lambda folder: arrays(folder, images=np.zeros((50, 5, 5, 3), np.uint8) + PIXELS[:50, :5, :5, None]),
        "--fake: 50 of 50 images are resized or converted to 1x8x8",
        "--fake: got 50 of 50 images of another shape, expected 1x8x8",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_can_be_mended_is_said_and_judged_or_refused(here, tmp_path, capsys, wrong):
    make, said, refused = WRONG[wrong]
    fake = make(tmp_path / "set")
    assert judged("--json", tmp_path / "m.json", fake=fake, metrics="kid") == 0
    assert said in capsys.readouterr().out
    found = strictly(tmp_path / "m.json")
    assert found["metrics"]["kid"]["value"] is not None
    assert len(found["card"]["sources"]["fake"]["skipped"]) == (3 if wrong == "unreadable files" else 0)
    assert judged("--strict", fake=fake, metrics="kid") == 2
    error = capsys.readouterr().err
    assert refused in error and error.count("\n") == 1


def test_a_size_that_was_asked_for_is_not_refused(here, tmp_path):
    mixed(tmp_path / "fake", size=(16, 9))
    assert judged("--strict", "--size", 6, "--json", tmp_path / "m.json", fake=tmp_path / "fake", metrics="kid") == 0
    assert strictly(tmp_path / "m.json")["card"]["shape"] == [1, 6, 6]


def test_the_commonest_shape_of_the_real_images_is_that_of_all(here, tmp_path):
    mixed(tmp_path / "real", size=(16, 9))
    assert judged("--json", tmp_path / "m.json", real=tmp_path / "real", metrics="kid") == 0
    card = strictly(tmp_path / "m.json")["card"]
    assert card["shape"] == [1, 8, 8]
    assert {name: source["changed"] for name, source in card["sources"].items()} == {"real": 10, "fake": 0}


@pytest.mark.parametrize("fakes", [1, 3, 30], ids="{} fakes".format)
@pytest.mark.parametrize("constant", [False, True], ids=["digits", "constant"])
def test_few_or_constant_fakes_have_numbers_or_reasons(here, tmp_path, fakes, constant):
    images = np.full((fakes, 8, 8), 99, np.uint8) if constant else PIXELS[FAKE][:fakes]
    np.savez(tmp_path / "x.npz", images=images)
    every = ",".join(name for name in metric_names() if get_metric(name).needs == "samples")
    assert judged("--train", "train", "--json", tmp_path / "m.json", fake=tmp_path / "x.npz", metrics=every) == 0
    for name, measure in strictly(tmp_path / "m.json")["metrics"].items():
        assert measure["n"] == fakes
        assert measure["value"] is not None or measure["detail"]["reason"], name
        if fakes < get_metric(name).min_images:
            assert measure["value"] is None


def test_everything_constant_is_judged(tmp_path):
    same = np.full((60, 8, 8), 7, np.uint8)
    for name, measure in genlib.evaluate(same, same, same).items():
        assert measure.value is not None or measure.detail["reason"], name


def test_a_class_that_is_missing_is_judged(here, tmp_path):
    shutil.copytree(here / "real", tmp_path / "real")
    shutil.rmtree(tmp_path / "real/3")
    assert judged("--train", "train", "--json", tmp_path / "m.json", real=tmp_path / "real") == 0
    found = strictly(tmp_path / "m.json")
    assert len(found["card"]["sources"]["real"]["classes"]) == 9
    assert all(measure["value"] is not None for measure in found["metrics"].values())


def test_a_metric_of_models_has_its_reason(here, tmp_path):
    assert judged("--json", tmp_path / "m.json", metrics="elbo") == 0
    assert strictly(tmp_path / "m.json")["metrics"]["elbo"]["detail"]["reason"] == "this model has no likelihood"


# what is wrong and is refused


class Trap:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        from pathlib import Path

        return Path.mkdir, (Path("made_by_pickle"),)


@pytest.fixture(scope="module")
def junk(project, judges):
    """Inputs that are refused, by name."""
    root = project / "junk"
    root.mkdir()
    (root / "empty").mkdir()
    (root / "text").mkdir()
    (root / "text/readme.txt").write_text("no images here")
    (root / "broken").mkdir()
    (root / "broken/a.png").write_bytes(b"\x89PNG")
    write(root / "one", slice(0, 1))
    good = PIXELS[:20] / 255
    bad = good.copy()
    bad[3, 2, 2] = np.nan
    contents = {
        "nan": {"images": bad},
        "infinite": {"images": np.where(np.isnan(bad), np.inf, bad)},
        "wide": {"images": good * 255},
        "ints": {"images": PIXELS[:20].astype(np.int64)},
        "flat": {"images": PIXELS[:20].reshape(20, 64)},
        "alpha": {"images": np.zeros((9, 8, 8, 4), np.uint8)},
        "none": {"images": np.zeros((0, 8, 8), np.uint8)},
        "words": {"images": np.array(["a", "b"])},
        "named": {"pictures": PIXELS[:20]},
        "labelled": {"images": PIXELS[:20], "labels": np.arange(19)},
        "negative": {"images": PIXELS[:20], "labels": np.arange(20) - 1},
        "pickled": {"images": np.array([Trap()], dtype=object)},
    }
    for name, arrays in contents.items():
        np.savez(root / f"{name}.npz", **arrays)
    (root / "noise.npz").write_bytes(b"noise")
    (root / "noise.safetensors").write_bytes(b"noise")
    (root / "pickled.pkl").write_bytes(pickle.dumps(Trap()))
    (root / "file").write_text("a file")
    (root / "judges").symlink_to(judges)
    digits(root / "prepared")
    return root


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--real", "nowhere", "--fake", "fake"], "--real: found nothing at nowhere"),
        (["--fake", "nowhere"], "--fake: found nothing at nowhere"),
        (["--train", "nowhere"], "--train: found nothing at nowhere"),
        (["--fake", "junk/empty"], "--fake: found no images in junk/empty"),
        (["--fake", "junk/text"], "--fake: found no images in junk/text"),
        (["--fake", "junk/broken"], "--fake: found none of 1 images readable; junk/broken/a.png"),
        (["--real", "junk/one"], "--real: got 1 image, expected at least 2"),
        (["--fake", "junk/file"], "--fake: got the file junk/file, expected a folder of images, an .npz"),
        (["--fake", "junk/pickled.pkl"], "--fake: found the file junk/pickled.pkl"),
        (["--fake", "junk/nan.npz"], "junk/nan.npz, images: found NaN or infinity in 1 of 20 images"),
        (["--fake", "junk/infinite.npz"], "junk/infinite.npz, images: found NaN or infinity in 1 of 20 images"),
        (["--fake", "junk/wide.npz"], "junk/wide.npz, images: got floats from 0 to 255, expected in [0, 1] or [-1, 1]"),
        (["--fake", "junk/ints.npz"], "got int64, expected uint8 or floats"),
        (["--fake", "junk/flat.npz"], "got shape [20, 64], expected [N, C, H, W]"),
        (["--fake", "junk/alpha.npz"], "got shape [9, 8, 8, 4], expected [N, C, H, W]"),
        (["--fake", "junk/none.npz"], "found shape [0, 1, 8, 8], legal"),
        (["--fake", "junk/words.npz"], "found what is no array of numbers"),
        (
            ["--fake", "junk/named.npz"],
            "junk/named.npz: got pictures, expected images called pixels or images or arr_0",
        ),
        (["--fake", "junk/labelled.npz"], "got labels of shape [19]"),
        (["--real", "junk/negative.npz"], "expected 20 whole numbers from 0"),
        (["--fake", "junk/pickled.npz"], "junk/pickled.npz: found a file that cannot be read"),
        (["--fake", "junk/noise.npz"], "junk/noise.npz: found a file that cannot be read"),
        (["--fake", "junk/noise.safetensors"], "junk/noise.safetensors: found a file that cannot be read"),
        (["--extractor", "vgg"], "--extractor: found 'vgg'"),
        (["--extractor", "resnet18"], "--extractor: got resnet18 without its weights, expected resnet18:WEIGHTS_FILE"),
        (["--extractor", "resnet18:nowhere.pth"], "--extractor: found no file nowhere.pth"),
        (["--extractor", "inception_v3:junk/judges/net.pth"], "found other weights than those of inception_v3"),
        (["--extractor", "junk/empty"], "junk/empty: not a model folder"),
        (["--extractor", "junk/judges/vae"], "found a model that does not classify"),
        (
            ["--extractor", "junk/judges/judge", "--size", "9"],
            "got a judge of images [1, 8, 8], expected of [1, 9, 9] (--size 8)",
        ),
        (["--metrics", "kdi"], "--metrics: found 'kdi' (did you mean 'kid'?)"),
        (["--size", "0"], "--size: got 0, expected a whole number from 1 to 1024"),
        (["--size", "big"], "argument --size: invalid int value: 'big'"),
        (["--json", "junk"], "--json: got the folder junk, expected a file"),
        (["--json", "junk/file/m.json"], "--json: found that junk/file cannot be made"),
        (["--html", "junk/file/m.html"], "--html: found that junk/file cannot be made"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(here, junk, capsys, arguments, found):
    asked = {"--real": "real", "--fake": "fake", "--metrics": "kid"}
    asked |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert main(["evaluate", *(word for pair in asked.items() for word in pair)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("genlib: ") and said.count("\n") == 1
    assert found in said
    assert not (here / "made_by_pickle").exists()


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
def test_it_is_a_run_where_runs_are_kept_and_leaves_nothing_elsewhere(here, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    before = {path.name for path in here.iterdir()}
    assert judged(metrics="kid") == 0
    assert {path.name for path in here.iterdir()} == before
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert judged("--json", "m.json", real=here / "real", fake=here / "fake", metrics="kid") == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [found] = client.search_runs([client.get_experiment_by_name("evaluate").experiment_id])
    written = strictly(tmp_path / "m.json")
    kid, card = written["metrics"]["kid"], written["card"]
    assert {part: found.data.metrics[f"kid_{part}"] for part in ("low", "high", "null")} == {
        part: kid[part] for part in ("low", "high", "null")
    }
    assert found.data.tags["genlib.data_sha256"] == card["data_sha256"]
    assert found.data.params["fake"] == str(here / "fake")


def test_both_sets_must_be_given(capsys):
    assert main(["evaluate", "--real", "real"]) == 2
    assert "--fake" in capsys.readouterr().err


def test_a_failure_leaves_what_was_there(here, junk, tmp_path):
    out = tmp_path / "m.json"
    out.write_text("before")
    assert judged("--json", out, fake="junk/nan.npz") == 2
    assert out.read_text() == "before"
    assert judged("--json", out, metrics="kid") == 0
    assert strictly(out)["metrics"]["kid"]["n"] == 100
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_ctrl_c_ends_with_one_line_and_130(here, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "decode", interrupted)
    assert judged() == 130
    assert capsys.readouterr().err == "genlib: interrupted\n"


def test_the_hash_of_a_set_is_of_pixels_shape_and_labels():
    pixels = torch.arange(24, dtype=torch.uint8)
    sets = [
        Images(pixels.view(2, 3, 2, 2)),
        Images(pixels.view(2, 3, 1, 4)),
        Images(pixels.view(2, 3, 2, 2).flip(0)),
        Images(pixels.view(2, 3, 2, 2), torch.tensor([0, 1])),
        Images(pixels.view(2, 3, 2, 2), torch.tensor([1, 1])),
    ]
    assert len({pictures.images_sha256(each) for each in sets}) == 5
