"""Evaluation of image sets from anywhere: numbers, card and page, also of few, odd or constant images."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from evaluate_project import FAKE, PIXELS, QUICK, REAL, TRAIN, arrays, broken, judged, mixed, strictly, write
from evaluate_project import here as here
from evaluate_project import judges as judges
from evaluate_project import project as project
from PIL import Image

import genlib
from genlib import provenance
from genlib.errors import InputError
from genlib.metrics.registry import get_metric, metric_names

pytestmark = pytest.mark.usefixtures("few_draws")


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
    assert card["judge"]["note"] == "No extractor given: principal components of pixels."
    assert card["judge"]["accuracy"] is None
    hashes = [*(source["sha256"] for source in card["sources"].values()), card["judge"]["sha256"]]
    assert len(set(hashes)) == 4 and {len(each) for each in hashes} == {64}
    assert card["version"] and card["commit"] == "c" * 40


def test_twice_gives_the_same_bytes(whole):
    assert (whole / "a/m.json").read_bytes() == (whole / "b/m.json").read_bytes()


def test_the_page_says_who_looked_and_holds_its_pictures(whole):
    page = (whole / "a/m.html").read_text()
    assert page.startswith("<!doctype html>") and "No extractor given: principal components of pixels." in page
    assert page.count("data:image/webp;base64,") >= 3
    assert "genlib evaluate --real=real --fake=fake --train=train" in page
    assert sorted(path.name for path in (whole / "a").iterdir()) == ["m.html", "m.json"]


def test_a_line_for_each_metric_and_one_for_who_looked(here, capsys):
    assert judged("--train", "train") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "evaluate: Features by pca. No extractor given: principal components of pixels."
    assert said[1] == "evaluate: 100 of 100 generated images are compared with 100 of 200 real ones"
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
    with pytest.raises(InputError, match="metrics: got 'fretchet'"):
        genlib.evaluate(PIXELS[REAL], PIXELS[FAKE], metrics=["fretchet"])


def test_images_that_are_in_two_sets_are_counted(here, tmp_path, capsys):
    assert judged("--train", "real", "--json", tmp_path / "m.json", fake="flat", metrics="kid") == 0
    said = capsys.readouterr().out
    assert "200 of 200 images of --real are also in --train, byte for byte" in said
    shared = strictly(tmp_path / "m.json")["card"]["shared"]
    assert shared == {"real_in_train": 200, "fake_in_real": 200, "fake_in_train": 200}


def test_a_judge_says_how_often_it_is_right(here, judges, tmp_path, capsys):
    assert judged("--extractor", judges / "judge", "--json", tmp_path / "m.json") == 0
    judge = strictly(tmp_path / "m.json")["card"]["judge"]
    digest = hashlib.sha256((judges / "judge/model.safetensors").read_bytes()).hexdigest()
    assert (judge["extractor"], judge["layer"], judge["sha256"]) == ("judge", "features[32]", digest)
    assert 0 <= judge["accuracy"] < 0.5
    weak = f"It is right on {100 * judge['accuracy']:.0f} % of the test images: treat its numbers as rough."
    assert judge["note"] == weak
    assert f"evaluate: Features by judge. {weak}" in capsys.readouterr().out


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
    assert "labels are left aside: there are 3 classes, and the classifier knows 10" in capsys.readouterr().out
    assert strictly(out)["card"]["judge"]["accuracy"] is None


def test_a_network_of_torchvision_looks(here, judges, tmp_path):
    write(tmp_path / "real", slice(0, 12))
    out = tmp_path / "m.json"
    extractor = f"shufflenet_v2_x0_5:{judges / 'net.pth'}"
    assert judged("--extractor", extractor, "--json", out, real=tmp_path / "real", metrics="kid") == 0
    judge = strictly(out)["card"]["judge"]
    assert (judge["extractor"], judge["layer"]) == ("shufflenet_v2_x0_5", "penultimate[1024]")


WRONG = {
    "unreadable files": (
        broken,
        "--fake: left out 3 of 43 files",
        "cut.png: got an image that cannot be read",
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
