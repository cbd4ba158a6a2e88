"""Who looks at images that nothing here made: components against scikit-learn, networks against torchvision itself."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances_argmin
from torchvision import models
from torchvision.transforms import functional as transforms

from genlib.data.images import Images, to_float
from genlib.errors import InputError
from genlib.evaluation.extractors import (
    MAX_SIDE,
    CachedExtractor,
    NamedExtractor,
    Pca,
    is_weak_judge,
    load_torchvision_classifier,
)
from genlib.metrics.inputs import FeatureSet, extract_features

DIGITS = Images(torch.from_numpy((load_digits().images * 255 / 16).round().astype(np.uint8))[:, None])


# components of pixels


@pytest.mark.parametrize("n", [500, 40], ids=["more images than pixels", "fewer images than pixels"])
def test_components_are_those_of_scikit_learn(n):
    x = to_float(DIGITS[:n].pixels)
    rows = x.flatten(1).double().numpy()
    theirs = PCA(20, svd_solver="full").fit(rows)
    ours = Pca(DIGITS[:n], components=20)
    scores = ours.features(x).numpy()
    signs = np.sign((scores * theirs.transform(rows)).sum(0))
    np.testing.assert_allclose(scores, theirs.transform(rows) * signs, atol=1e-4)
    assert float(ours.explained) == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-5)


def test_all_components_keep_the_distances_of_pixels():
    pixels = to_float(DIGITS[:300].pixels)
    features = Pca(DIGITS[:300], components=64).features(pixels)
    torch.testing.assert_close(torch.pdist(features), torch.pdist(pixels.flatten(1)), rtol=1e-4, atol=1e-4)


def test_no_more_components_than_the_rank():
    assert Pca(DIGITS[:5]).directions.shape == (64, 4)


def test_classes_are_the_nearest_cells():
    judge = Pca(DIGITS[:500])
    view = extract_features(judge, DIGITS[500:700])
    assert view.predicted_classes.tolist() == pairwise_distances_argmin(view.features, judge.centres).tolist()
    torch.testing.assert_close(view.probabilities.sum(1), torch.ones(200))
    assert len(set(view.predicted_classes.tolist())) > 5


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 30), (1, 1, 1)])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_constant_images_have_finite_features(shape, n):
    images = Images(torch.full((n, *shape), 77, dtype=torch.uint8))
    view = extract_features(Pca(images), images)
    assert view.features.isfinite().all() and view.probabilities.isfinite().all()
    assert view.features.shape == (n, 1) and float(view.features.abs().max()) < 1e-5


def test_the_same_images_give_the_same_judge_and_others_another():
    hashes = [
        CachedExtractor(Pca(images, seed)).sha256
        for images, seed in ((DIGITS[:100], 0), (DIGITS[:100], 0), (DIGITS[1:101], 0))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_size_of_a_chunk_does_not_matter():
    judge = Pca(DIGITS[:200])
    one, two = (
        extract_features(judge, DIGITS[:200], chunk_size=7),
        extract_features(judge, DIGITS[:200], chunk_size=200),
    )
    torch.testing.assert_close(one.features, two.features, rtol=1e-6, atol=1e-5)


def test_large_images_are_averaged_down():
    images = Images(torch.randint(256, (6, 3, 2 * MAX_SIDE, 3 * MAX_SIDE), dtype=torch.uint8))
    assert Pca(images).directions.shape == (3 * MAX_SIDE * MAX_SIDE, 5)


# networks of torchvision

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
    net, judge = saved(name, tmp_path / f"w{ending}"), load_torchvision_classifier(name, tmp_path / f"w{ending}")
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
    judge = load_torchvision_classifier("inception_v3", tmp_path / "w.pth")
    view = extract_features(judge, colour)
    pooled = []
    net.avgpool.register_forward_hook(lambda _, arguments, pool: pooled.append(pool.flatten(1)))
    with torch.no_grad():
        logits = net(prepared(colour.pixels, 299))
    assert judge.side == 299 and view.features.shape == (2, 2048)
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
        load_torchvision_classifier(name, folder / file)
    assert found in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_network_without_a_last_linear_layer_is_refused(tmp_path):
    saved("squeezenet1_1", tmp_path / "w.pth")
    with pytest.raises(InputError, match="a network that ends in a linear layer"):
        load_torchvision_classifier("squeezenet1_1", tmp_path / "w.pth")


# how good a judge is


@pytest.mark.parametrize(
    ("counts", "accuracy", "weak"),
    [
        ([100] * 10, 0.65, True),  # a small net on CIFAR-10
        ([100] * 10, 0.80, False),
        ([10] * 1000, 0.77, False),  # Inception v3 on ImageNet
        ([50, 50], 0.80, True),  # chance is a half
        ([50, 50], 0.90, False),
        ([90, 10], 0.92, True),  # always the first class is right on 90 %
        ([90], 1.0, False),
    ],
)
def test_a_judge_is_weak_relative_to_chance(counts, accuracy, weak):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    assert is_weak_judge(accuracy, labels) == weak


@pytest.mark.parametrize(("right", "noted"), [(60, True), (99, False)])
def test_a_weak_judge_is_noted_in_its_card(right, noted):
    labels = torch.arange(100) % 10
    predicted = torch.where(torch.arange(100) < right, labels, (labels + 1) % 10)
    probabilities = torch.nn.functional.one_hot(predicted, 10).float()
    test = FeatureSet(torch.zeros(100, 1, 8, 8, dtype=torch.uint8), labels, torch.zeros(100, 4), probabilities)
    network = torch.nn.Linear(4, 10)
    card = NamedExtractor(network, "scorer", "features", num_classes=10).card(CachedExtractor(network), test)
    assert card["accuracy"] == right / 100
    expected = "It is right on 60 % of the test images: treat its numbers as rough." if noted else None
    assert card.get("note") == expected
