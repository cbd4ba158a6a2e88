"""The feature cache: it returns what its network would, and never what another would."""

import os
import subprocess
import sys

import pytest
import torch
from corner_images import TinyClassifier, corner_images
from safetensors.torch import save

from genlib.data.images import Images
from genlib.evaluation import feature_cache
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.metrics.inputs import extract_features


def same(one, other):
    return all(
        torch.equal(getattr(one, part), getattr(other, part)) for part in ("pixels", "features", "probabilities")
    )


def kept(folder):
    return sorted(path.name for path in folder.glob("*"))


def refuse(*_):
    raise AssertionError("the network was asked again")


def test_what_is_kept_is_what_was_seen_bit_for_bit(tmp_path):
    seen = extract_features(TinyClassifier(), corner_images(40, 0))
    assert same(CachedExtractor(TinyClassifier(), tmp_path)(corner_images(40, 0)), seen)
    again = CachedExtractor(TinyClassifier(), tmp_path, extract=refuse)(corner_images(40, 0))
    assert same(again, seen) and torch.equal(again.labels, seen.labels)
    assert again.features.dtype == torch.float32


def test_labels_are_those_asked_with_and_no_part_of_the_key(tmp_path):
    some = corner_images(40, 0)
    CachedExtractor(TinyClassifier(), tmp_path)(some)
    cached = CachedExtractor(TinyClassifier(), tmp_path, extract=refuse)
    assert cached(Images(some.pixels)).labels is None
    assert torch.equal(cached(Images(some.pixels, some.labels + 1)).labels, some.labels + 1)


def test_other_pixels_orders_shapes_and_weights_are_looked_at(tmp_path):
    judge, some = TinyClassifier(), corner_images(8, 0)
    changed = Images(some.pixels.clone())
    changed.pixels[3, 0, 2, 2] ^= 1
    turned = Images(some.pixels.flip(0))
    other = TinyClassifier()
    with torch.no_grad():
        next(other.parameters())[0, 0, 0, 0] += 1e-7
    for number, (who, what) in enumerate([(judge, some), (judge, changed), (judge, turned), (other, some)], 1):
        assert same(CachedExtractor(who, tmp_path)(what), extract_features(who, what))
        assert len(kept(tmp_path)) == number
    assert CachedExtractor(judge)._cache_key(some) != CachedExtractor(judge)._cache_key(
        Images(some.pixels.view(8, 1, 4, 16))
    )
    assert CachedExtractor(torch.nn.ReLU()).sha256 != CachedExtractor(torch.nn.Tanh()).sha256


def test_the_same_weights_by_another_name_of_the_same_judge_are_the_same(tmp_path):
    some = corner_images(8, 0)
    for images in (some, Images(some.pixels.clone())):
        CachedExtractor(TinyClassifier(), tmp_path)(images)
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["empty", "short", "zeros", "other"])
def test_a_broken_file_is_looked_at_anew(tmp_path, damage):
    some, judge = corner_images(8, 0), TinyClassifier()
    CachedExtractor(judge, tmp_path)(some)
    (path,) = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    other = save({"features": torch.zeros(8, 2)})
    path.write_bytes({"empty": b"", "short": content[:-9], "zeros": bytes(len(content)), "other": other}[damage])
    assert same(CachedExtractor(judge, tmp_path)(some), extract_features(judge, some))
    assert path.read_bytes() == content


def test_a_file_that_another_process_removes_meanwhile_is_no_matter(tmp_path):
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    some, judge = corner_images(8, 0), TinyClassifier()
    assert same(CachedExtractor(judge, tmp_path)(some), extract_features(judge, some))


def test_the_last_used_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "MAX_CACHED_SETS", 3)
    look_at = CachedExtractor(TinyClassifier(), tmp_path)
    for seed in range(3):
        look_at(corner_images(4, seed))
        age(tmp_path)
    first = f"{look_at._cache_key(corner_images(4, 0))}.safetensors"
    look_at(corner_images(4, 0))
    age(tmp_path)
    look_at(corner_images(4, 3))
    assert len(kept(tmp_path)) == 3 and first in kept(tmp_path)
    assert f"{look_at._cache_key(corner_images(4, 1))}.safetensors" not in kept(tmp_path)


def age(folder):
    """Let a minute pass."""
    for path in folder.glob("*"):
        facts = path.stat()
        os.utime(path, (facts.st_atime - 60, facts.st_mtime - 60))


def test_two_processes_may_look_at_once(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path; from corner_images import TinyClassifier, corner_images\n"
        "from genlib.evaluation.feature_cache import CachedExtractor\n"
        "for seed in range(20): CachedExtractor(TinyClassifier(), Path(sys.argv[1]))(corner_images(30, seed % 5))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert len(kept(tmp_path)) == 5 and all(name.endswith(".safetensors") for name in kept(tmp_path))
    assert same(
        CachedExtractor(TinyClassifier(), tmp_path)(corner_images(30, 2)),
        extract_features(TinyClassifier(), corner_images(30, 2)),
    )


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert same(
        CachedExtractor(TinyClassifier())(corner_images(8, 0)), extract_features(TinyClassifier(), corner_images(8, 0))
    )
    assert kept(tmp_path) == []
