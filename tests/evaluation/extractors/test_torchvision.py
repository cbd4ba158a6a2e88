"""Classifiers of torchvision against torchvision itself."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torchvision import models
from torchvision.transforms import functional as transforms

from genlib.data.images import Images, to_float
from genlib.errors import InputError
from genlib.evaluation.extractors import load_extractor
from genlib.metrics.inputs import extract_features

DIGITS = Images(torch.from_numpy((load_digits().images * 255 / 16).round().astype(np.uint8))[:, None])
SMALL = {"shufflenet_v2_x0_5": 1024, "mobilenet_v3_small": 1024, "resnet18": 512}


def saved(name, path, **options):
    torch.manual_seed(0)
    net = models.get_model(name, weights=None, **options).eval()
    if path.suffix == ".pth":
        torch.save(net.state_dict(), path)
    else:
        save_file(net.state_dict(), path)
    return net


def prepared(pixels, side):
    """What torchvision's own transforms make of uint8 images."""
    x = transforms.resize(pixels.float() / 255, [side, side], antialias=True).expand(-1, 3, -1, -1)
    return transforms.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_gives_its_own_logits_and_what_enters_its_last_layer(name, ending, tmp_path):
    net, judge = saved(name, tmp_path / f"w{ending}"), load_extractor(f"{name}:{tmp_path}/w{ending}").network
    entered = []
    last = [module for module in net.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, arguments: entered.append(arguments[0]))
    with torch.no_grad():
        logits = net(prepared(DIGITS[:3].pixels, 224))
    view = extract_features(judge, DIGITS[:3])
    assert view.features.shape == (3, SMALL[name]) and view.probabilities.shape == (3, 1000)
    torch.testing.assert_close(view.features, entered[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(view.probabilities, logits.softmax(1), rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(judge.eval()(to_float(DIGITS[:3].pixels)), logits, rtol=1e-4, atol=1e-4)


def test_inception_v3_sees_299_pixels_and_gives_its_pool(tmp_path):
    net = saved("inception_v3", tmp_path / "w.pth", init_weights=False, transform_input=True)
    colour = Images(torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))
    judge = load_extractor(f"torchvision:inception_v3:{tmp_path}/w.pth").network
    view = extract_features(judge, colour)
    pooled = []
    net.avgpool.register_forward_hook(lambda _, arguments, pool: pooled.append(pool.flatten(1)))
    with torch.no_grad():
        logits = net(prepared(colour.pixels, 299))
    assert judge.resize.size == 299 and view.features.shape == (2, 2048)
    torch.testing.assert_close(view.features, pooled[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(view.probabilities, logits.softmax(1), rtol=1e-4, atol=1e-6)


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).mkdir, (self.path,)


def wrong(path, trap):
    """Files that are no weights of resnet18, and what is said of each."""
    path.mkdir()
    (path / "noise.pth").write_bytes(b"noise")
    (path / "noise.safetensors").write_bytes(b"noise")
    (path / "trap.pth").write_bytes(pickle.dumps({"weight": Trap(trap)}))
    torch.save([torch.zeros(1)], path / "list.pth")
    torch.save({"model": {}, "epoch": 3}, path / "checkpoint.pth")
    torch.save({"fc.weight": torch.zeros(2, 2)}, path / "other.pth")
    return path


@pytest.mark.parametrize(
    ("name", "file", "found"),
    [
        ("resnet18", "missing.pth", "got no file"),
        ("resnet18", "noise.pth", "got a file that cannot be read"),
        ("resnet18", "noise.safetensors", "got a file that cannot be read"),
        ("resnet18", "trap.pth", "got a file that cannot be read"),
        ("resnet18", "list.pth", "got a list that is not of tensors alone"),
        ("resnet18", "checkpoint.pth", "got a dict that is not of tensors alone"),
        ("resnet18", "other.pth", "got other weights than those of resnet18"),
        ("resnet81", "other.pth", "did you mean resnet18"),
        ("fasterrcnn_resnet50_fpn", "other.pth", "got 'fasterrcnn_resnet50_fpn'"),
    ],
)
def test_wrong_weights_are_refused_in_one_line(tmp_path, name, file, found):
    folder = wrong(tmp_path / "weights", tmp_path / "made")
    with pytest.raises(InputError) as caught:
        load_extractor(f"torchvision:{name}:{folder / file}")
    assert found in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_network_without_a_last_linear_layer_is_refused(tmp_path):
    saved("squeezenet1_1", tmp_path / "w.pth")
    with pytest.raises(InputError, match="a network that ends in a linear layer"):
        load_extractor(f"squeezenet1_1:{tmp_path}/w.pth")
