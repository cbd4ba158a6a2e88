"""Extractors by name: what is refused, and that one more is one file."""

import pickle

import pytest
import torch
from evaluation.extractors.random_weights import draw_weights
from torch import nn

from genlib.errors import InputError
from genlib.evaluation import extractors
from genlib.evaluation.extractors import discover_extractors, load_extractor

OF_A_FILE = [name for name in discover_extractors() if name not in ("torchvision",)]


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).mkdir, (self.path,)


def write_wrong_files(folder):
    (folder / "noise.pth").write_bytes(b"noise")
    (folder / "noise.safetensors").write_bytes(b"noise")
    (folder / "trap.pth").write_bytes(pickle.dumps({"weight": Trap(folder / "made")}))
    torch.save([torch.zeros(1)], folder / "list.pth")
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "other.pth")
    torch.save(draw_weights(nn.Conv2d(3, 3000, 9)).state_dict(), folder / "whole.pth")
    (folder / "truncated.pth").write_bytes((folder / "whole.pth").read_bytes()[:-5000])
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(folder / "script.pt")


FOUND = {
    "missing.pth": "got no file",
    "noise.pth": "got a file that cannot be read",
    "noise.safetensors": "got a file that cannot be read",
    "trap.pth": "got a file that cannot be read",
    "list.pth": "got a list that is not of tensors alone",
    "other.pth": "got other weights than those of",
    "truncated.pth": "got a file that cannot be read",
    "script.pt": "got TorchScript, which is code, expected its state_dict; if you trust it: torch.save(",
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", OF_A_FILE)
def test_wrong_files_are_refused_in_one_line(name, tmp_path):
    write_wrong_files(tmp_path)
    for file, found in FOUND.items():
        with pytest.raises(InputError) as caught:
            load_extractor(f"{name}:{tmp_path / file}")
        assert found in str(caught.value) and "\n" not in str(caught.value), (file, str(caught.value))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("incepton:w.pth", "did you mean inception"),
        ("resnet18", "got resnet18 without its weights, expected resnet18:WEIGHTS_FILE"),
        ("torchvision:resnet81", "did you mean resnet18"),
        ("torchvision:fasterrcnn_resnet50_fpn:w.pth", "got 'fasterrcnn_resnet50_fpn'"),
        ("inception", "got no file of weights, expected NAME:FILE"),
    ],
)
def test_wrong_names_are_refused_with_what_is_near(spec, found):
    with pytest.raises(InputError, match=found):
        load_extractor(spec)


def test_every_extractor_says_what_it_is():
    assert {"inception", "torchvision", "efficientnet_lite0", "dinov2", "clip"} <= discover_extractors().keys()
    for name, summary in discover_extractors().items():
        assert summary.startswith(f"`{name}") and summary.endswith((".", ",")), summary


NEW = '''"""`mean:FILE`: the mean colour."""
from torch import nn
from genlib.evaluation.extractors.named import NamedExtractor

def load(argument):
    return NamedExtractor(nn.Linear(1, 1), "mean", argument)
'''


def test_one_more_extractor_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "mean.py").write_text(NEW)
    monkeypatch.setattr(extractors, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(extractors, "__path__", [str(tmp_path)])
    monkeypatch.setattr(extractors, "discover_extractors", discover_extractors.__wrapped__)
    assert extractors.discover_extractors() == {"mean": "`mean:FILE`: the mean colour."}
    assert load_extractor("mean:here").layer == "here"
