"""Protocols by name: how many images, in which features, and what they refuse."""

import json
from dataclasses import replace

import pytest
import torch
from evaluation.extractors.random_weights import fid_state_dict
from evaluation.small_clip import features_of, write_pictures, write_weights

import genlib.metrics
from genlib.cli import main
from genlib.evaluation import protocols
from genlib.evaluation.protocols import PROTOCOLS, load_protocol_extractor
from genlib.metrics.frechet import frechet_distance


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("protocols")
    weights = write_weights(root / "w.pth")
    for name, seed in (("fake", 1), ("real", 2)):
        torch.save(features_of(weights, write_pictures(root / name, 60, seed)), root / f"{name}.pt")
    return root


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def evaluate(*more, extractor="clip:w.pth"):
    return main(["evaluate", "--real", "real", "--fake", "fake", "--extractor", extractor, *more])


def test_the_published_numbers_of_images():
    assert {name: (each.metric, each.generated, each.real) for name, each in PROTOCOLS.items()} == {
        "fid50k_full": ("frechet", 50_000, None),
        "fid10k_test": ("frechet", 10_000, 10_000),
        "clean_fid": ("frechet", None, None),
        "kid": ("kid", None, None),
        "is10": ("inception_score", 50_000, None),
    }


def test_too_few_images_are_refused(here, capsys):
    assert evaluate("--protocol", "fid50k_full") == 2
    assert "--fake: got 60 images, expected at least 50000" in capsys.readouterr().err


def test_all_images_are_held_against_all_others(here, capsys):
    for protocol in ("kid", "clean_fid"):
        assert evaluate("--protocol", protocol, "--json", f"{protocol}.json") == 0
        [line] = capsys.readouterr().out.splitlines()
        assert line.endswith("60 images against 60 images")
    fake, real = torch.load("fake.pt"), torch.load("real.pt")
    found = {name: json.loads((here / f"{name}.json").read_text())["metrics"] for name in ("kid", "clean_fid")}
    assert found["kid"]["kid"]["value"] == pytest.approx(genlib.metrics.kid(real, fake).value, rel=1e-5)
    assert found["clean_fid"]["frechet"]["value"] == pytest.approx(frechet_distance(fake, real), rel=1e-5)


def test_as_many_as_the_protocol_says_are_drawn(here, monkeypatch, capsys):
    monkeypatch.setitem(protocols.PROTOCOLS, "fid10k_test", replace(PROTOCOLS["fid10k_test"], generated=50, real=40))
    assert evaluate("--protocol", "fid10k_test") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("50 images against 40 images")


def test_the_inception_score_is_that_of_the_networks_own_classes(here, monkeypatch, capsys):
    classes = torch.nn.Linear(24, 6)
    found = load_protocol_extractor(PROTOCOLS["is10"], "clip:w.pth")
    found.network.head = classes
    monkeypatch.setattr(protocols, "load_extractor", lambda spec: found)
    monkeypatch.setitem(protocols.PROTOCOLS, "is10", replace(PROTOCOLS["is10"], generated=None))
    write_pictures(here / "many", 100, 3)
    assert main(["evaluate", "--real", "real", "--fake", "many", "--extractor", "x", "--protocol", "is10"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("evaluate: inception_score@clip 1.") and line.endswith("100 images")


def test_clean_fid_reads_the_file_of_the_fid_network_with_its_own_resizing(tmp_path):
    torch.save(fid_state_dict(), tmp_path / "w.pth")
    spec = f"inception:{tmp_path}/w.pth"
    for protocol, name in (("fid50k_full", "inception"), ("clean_fid", "inception_clean")):
        assert load_protocol_extractor(PROTOCOLS[protocol], spec).name == name


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (["--protocol", "fid50k"], "--protocol: got 'fid50k' (did you mean fid50k_full?)"),
        (["--protocol", "kid", "--metrics", "kid"], "--metrics: got kid with --protocol kid, expected none"),
        (["--protocol", "kid", "--size", "8"], "--size: got 8 with --protocol kid, expected none"),
        (["--protocol", "is10"], "--extractor: got clip, which knows no classes, expected inception:FILE"),
        (["--metrics", "fd_dinov2"], "--metrics: got fd_dinov2 with --extractor clip:w.pth, expected dinov2:FILE"),
    ],
)
def test_what_a_protocol_sets_is_not_asked_for(here, capsys, more, found):
    assert evaluate(*more) == 2
    assert found in capsys.readouterr().err
