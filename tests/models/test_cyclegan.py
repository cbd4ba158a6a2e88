"""CycleGAN: translators, samples, options."""

import pytest
import torch

from genlib.data.images import Images, to_float
from genlib.models import cyclegan
from genlib.models.layers.blocks import ResidualBlock
from genlib.objectives import translation

SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (1, 64, 64), (1, 9, 13)]
CLASSES = 4
ALL = {"cycle": 3.0, "identity": 2.0, "semantic": 1.5}


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(shape=(1, 8, 8), judge=True):
    return cyclegan.Build(shape, CLASSES, width=4, blocks=1, width_d=4, judge=judge)


def images(shape=(1, 8, 8), n=24, seed=1):
    """Each class is bright in its own corner."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    pixels = torch.randint(0, 60, (n, *shape), generator=g)
    for label, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        pixels[labels == label, :, y : y + 4, x : x + 4] += 150
    return Images(pixels.to(torch.uint8), labels)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_translations_are_images_that_begin_near_their_sources(shape):
    model, x = made(shape), torch.rand(3, *shape) * 2 - 1
    for to in ("a", "b"):
        y = model.translate(x, to)
        assert y.shape == x.shape
        assert not y.requires_grad
        torch.testing.assert_close(y, torch.tanh(2 * x), rtol=0, atol=0.05)
    logits = model.d["a"](x)
    assert logits.shape[:2] == (3, 1)
    torch.testing.assert_close(logits[1:2], model.d["a"](x[1:2]))


@pytest.mark.parametrize(
    ("side", "blocks", "patch"), [(16, 2, 12), (32, 2, 26), (64, 6, 26), (128, 6, 54), (256, 9, 70)]
)
def test_depth_and_patches_grow_with_the_side(side, blocks, patch):
    """The side of a patch is the receptive field of a logit: each kernel adds (k - 1) times the strides before it."""
    with torch.device("meta"):
        model = cyclegan.Build((3, side, side), CLASSES, width=2, width_d=2)
    assert sum(isinstance(layer, ResidualBlock) for layer in model.g["ab"].modules()) == blocks
    kernels = [(c.kernel_size[0], c.stride[0]) for c in model.d["a"].modules() if isinstance(c, torch.nn.Conv2d)]
    field, jump = 1, 1
    for kernel, stride in kernels:
        field, jump = field + (kernel - 1) * jump, jump * stride
    assert field == patch


def test_blocks_may_be_set_at_any_size():
    model = cyclegan.Build((1, 8, 8), CLASSES, width=4, blocks=5, width_d=4)
    assert sum(isinstance(layer, ResidualBlock) for layer in model.g["ab"].modules()) == 5


def test_the_two_ways_are_two_networks():
    model, x = made(), torch.rand(3, 1, 8, 8) * 2 - 1
    for way, to in (("ab", "b"), ("ba", "a")):
        torch.testing.assert_close(model.g[way](x), model.translate(x, to))
    assert not torch.equal(model.translate(x, "a"), model.translate(x, "b"))


def test_a_sample_translates_validation_images_in_their_order_and_again():
    model, valid = made(), images(n=40, seed=5)
    model.on_fit_start(images(), valid)
    order = [*range(40), *range(24), *range(6)]
    torch.testing.assert_close(model.sample(70, seed=9), model.translate(to_float(valid.pixels[order]), "b"))
    assert len(model.sample(0)) == 0


def test_a_judge_needs_labels():
    with pytest.raises(ValueError, match=r"^judge needs labels, and the data have none$"):
        cyclegan.Build((1, 8, 8), 0, judge=True)


@pytest.mark.parametrize(
    ("room", "option", "value"),
    [(cyclegan, "width", 0), (cyclegan, "width_d", 0), (cyclegan, "blocks", -1)]
    + [(translation, name, -0.5) for name in ALL]
    + [(translation, "loss", "best")],
)
def test_an_option_out_of_range_is_named_with_what_was_found(room, option, value):
    facts = ((1, 8, 8), CLASSES) if room is cyclegan else ()
    with pytest.raises(ValueError, match=f"^{option}: got {value}, expected "):
        room.Build(*facts, **{option: value})
