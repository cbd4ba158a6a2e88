"""The terms of translation against the paper, and their gradients over ranks."""

import copy
import threading

import pytest
import torch
from phases import gradients_of
from prepared import digits
from torch import nn

from genlib.data.batches import Batch, batches
from genlib.data.images import Images
from genlib.models import cyclegan
from genlib.objectives import translation

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


def batch_of(shape=(1, 8, 8), size=12, step=0, rank=0, world=1) -> Batch:
    data, other = images(shape), images(shape, n=30, seed=2)
    return next(batches(data, size, seed=3, step=step, rank=rank, world=world, domain_b=other))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)], ids=str)
@pytest.mark.parametrize("judge", [True, False])
def test_each_turn_moves_every_parameter_of_its_module_and_no_other(shape, judge):
    model, batch = made(shape, judge), batch_of(shape)
    turns = translation.Build(**ALL | ({} if judge else {"semantic": 0.0})).phases(model)
    assert [turn.name for turn in turns] == ["judge", "d", "g"][not judge :]
    for turn in turns:
        terms, gradients = gradients_of(turn, model, batch)
        own = {id(parameter) for parameter in turn.module.parameters()}
        assert terms.loss.shape == (12,)
        assert all(values.shape == (12,) and not values.requires_grad for values in terms.logged.values())
        for key, parameter in model.named_parameters():
            moved = gradients[key] is not None and gradients[key].isfinite().all() and gradients[key].any()
            assert moved == (id(parameter) in own) or (id(parameter) in own and key.endswith("bias")), (turn.name, key)


class Negative(nn.Module):
    def forward(self, x):
        return -x


class Level(nn.Module):
    """Logits [n, 1, 1, 1]: the mean intensity."""

    def forward(self, x):
        return x.mean((1, 2, 3), keepdim=True)


class Corner(nn.Module):
    """Tells bright corners, `sharpness` nats a unit."""

    def __init__(self, sharpness):
        super().__init__()
        self.sharpness = sharpness

    def forward(self, x):
        return self.sharpness * nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def stub(sharpness=20.0):
    model = made()
    model.g = nn.ModuleDict({"ab": Negative(), "ba": Negative()})
    model.d = nn.ModuleDict({"a": Level(), "b": Level()})
    model.judge = Corner(sharpness)
    return model


def turn(name, model, **options):
    return next(turn for turn in translation.Build(**options).phases(model) if turn.name == name)


def test_the_terms_are_those_of_the_paper():
    model, batch = stub(), batch_of()
    a, b = batch.x, batch.domain_b.x
    level = {"a": a.mean((1, 2, 3)), "b": b.mean((1, 2, 3))}
    d = turn("d", model).step_losses(batch)
    fooled = [((level[t] - 1) ** 2 + (1 - level[s]) ** 2) / 2 for s, t in ("ab", "ba")]
    torch.testing.assert_close(d.loss, fooled[0] + fooled[1])
    torch.testing.assert_close(d.logged["d_fake_b"], (-level["a"] < 0).float())
    g = turn("g", model, cycle=3.0, identity=2.0).step_losses(batch)
    fooling = ((-level["a"] - 1) ** 2 + (-level["b"] - 1) ** 2) / 2
    kept = 2 * (a.abs().mean((1, 2, 3)) + b.abs().mean((1, 2, 3)))
    torch.testing.assert_close(g.logged["cycle"], torch.zeros(12))
    torch.testing.assert_close(g.logged["identity"], kept)
    torch.testing.assert_close(g.loss, fooling + 2 * kept)


def test_a_cycle_that_does_not_close_is_measured():
    model, batch = stub(), batch_of()
    model.g["ba"] = nn.Identity()
    apart = turn("g", model, cycle=1.0).step_losses(batch).logged["cycle"]
    torch.testing.assert_close(apart, 2 * (batch.x.abs() + batch.domain_b.x.abs()).mean((1, 2, 3)))


@pytest.mark.parametrize(("sharpness", "heard"), [(20.0, True), (0.0, False)])
def test_the_judge_is_heard_once_its_own_loss_is_small(sharpness, heard):
    """By the label of the source, on its translation."""
    model, batch = stub(sharpness), batch_of()
    found = turn("g", model, cycle=0.0, semantic=2.0).step_losses(batch)
    logits = [model.judge(-each.x) for each in (batch, batch.domain_b)]
    losses = [
        nn.functional.cross_entropy(*pair, reduction="none")
        for pair in zip(logits, (batch.y, batch.domain_b.y), strict=True)
    ]
    torch.testing.assert_close(found.logged["semantic"], heard * (losses[0] + losses[1]) / 2)
    torch.testing.assert_close(found.loss, found.logged["loss_g"] + 2 * found.logged["semantic"])


def test_a_semantic_term_needs_a_judge():
    with pytest.raises(ValueError, match=r"^semantic: got 1.5, expected 0 for a model without judge: true$"):
        translation.Build(semantic=1.5).phases(made(judge=False))


@pytest.mark.parametrize("loss", list(translation.LOSSES))
def test_every_loss_falls_downhill(loss):
    model, batch = made(), batch_of()
    for name in ("d", "g"):
        step = turn(name, model, loss=loss)
        terms, gradients = gradients_of(step, model, batch)
        found = [gradient for gradient in gradients.values() if gradient is not None]
        length = sum(gradient.square().sum() for gradient in found).sqrt()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if gradients[key] is not None:
                    parameter -= 1e-3 / length * gradients[key]
        assert step.step_losses(batch).loss.mean() < terms.loss.mean()


def side_by_side(world, monkeypatch, work):
    """What `work(rank)` gives in as many threads, `Batch.all_gather` gathering from all of them."""
    barrier, parts, found = threading.Barrier(world, timeout=60), {}, {}

    def whole(batch, values):
        parts[batch.rank_rows.start] = values
        barrier.wait()
        gathered = torch.cat([parts[start] for start in sorted(parts)])
        barrier.wait()
        return gathered

    monkeypatch.setattr(Batch, "all_gather", whole)
    threads = [threading.Thread(target=lambda rank=rank: found.update({rank: work(rank)})) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(world)]


def steps(model, rank=0, world=1, size=31, count=4):
    """The gradients of every turn of so many steps without any change of weights, and the model with its pools."""
    found = []
    for step in range(count):
        for each in translation.Build(**ALL).phases(model):
            batch = batch_of(size=size, step=step, rank=rank, world=world)
            found.append(gradients_of(each, model, batch)[1])
    return found, model


def test_the_gradients_of_two_ranks_sum_to_those_of_one(monkeypatch):
    """Over four steps, in which the pools fill and are exchanged with; they end alike on both ranks."""
    model = made()
    whole, one = steps(copy.deepcopy(model))
    ranks = side_by_side(2, monkeypatch, lambda rank: steps(copy.deepcopy(model), rank, 2))
    for turn_of_one, *parts in zip(whole, *(gradients for gradients, _ in ranks), strict=True):
        for key, gradient in turn_of_one.items():
            if gradient is not None:
                torch.testing.assert_close(sum(part[key] for part in parts), gradient, rtol=1e-3, atol=1e-5)
    for domain in ("a", "b"):
        pools = [each.pool[domain].images for each in (one, *(model for _, model in ranks))]
        assert pools[0].any((1, 2, 3)).all()
        torch.testing.assert_close(pools[1], pools[2], rtol=0, atol=0)
        torch.testing.assert_close(pools[1], pools[0])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))
