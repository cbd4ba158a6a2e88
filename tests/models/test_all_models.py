"""What every model of params.yaml must be able to do, by what it says it can: a new entry is covered by being there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from phases import gradients_of
from prepared import MODELS

from genlib.data.batches import Batch, batches
from genlib.data.images import MAX_CHUNK, Images
from genlib.params import read_yaml
from genlib.registry import build

ROOT = Path(__file__).parents[2]
SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 9, 13)]
CLASSES = 10
N = 12


def can(what: str) -> list[str]:
    """The models that have a method or attribute of this name."""
    return [name for name in MODELS if getattr(made(name), what, False)]


def made(name, shape=(1, 16, 16)):
    torch.manual_seed(0)
    return build("models", MODELS[name][0], shape, CLASSES).to(memory_format=torch.channels_last)


def objective(name):
    return build("objectives", MODELS[name][1])


def images(shape=(1, 16, 16), n=32, seed=1):
    """Smooth blobs, so that there is something to learn."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(n, shape[0], 4, 4, generator=generator)
    pixels = (torch.nn.functional.interpolate(rough, shape[1:], mode="bilinear") * 255).to(torch.uint8)
    return Images(pixels, torch.randint(0, CLASSES, (n,), generator=generator))


def batch_of(shape=(1, 16, 16), size=N, step=0, rank=0, world=1) -> Batch:
    other = images(shape, seed=2)
    return next(batches(images(shape), size, seed=3, step=step, rank=rank, world=world, domain_b=other))


def adapted(name, shape=(1, 16, 16)):
    model = made(name, shape)
    if hasattr(model, "on_fit_start"):
        model.on_fit_start(images(shape), images(shape, seed=4))
    return model


EVERY = pytest.mark.parametrize("name", MODELS)
AT_EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)


@EVERY
@AT_EVERY_SHAPE
def test_builds_from_json_as_on_the_meta_device(name, shape):
    config = json.loads(json.dumps(MODELS[name][0]))
    with torch.device("meta"):
        meta = build("models", config, shape, CLASSES)
    assert all(tensor.is_meta for tensor in meta.parameters())
    shapes = {key: tuple(tensor.shape) for key, tensor in meta.state_dict().items()}
    assert shapes == {key: tuple(tensor.shape) for key, tensor in made(name, shape).state_dict().items()}


@AT_EVERY_SHAPE
@pytest.mark.parametrize("name", can("sample"))
def test_samples_are_images_and_a_function_of_the_seed(name, shape):
    model = adapted(name, shape).eval()
    sample = model.sample(7)
    assert sample.shape == (7, *shape)
    assert sample.dtype == torch.float32
    assert sample.min() >= -1
    assert sample.max() <= 1
    assert not sample.requires_grad
    assert torch.equal(model.sample(7), sample)
    assert len(model.sample(0)) == 0


@pytest.mark.parametrize("name", [name for name in can("sample") if name not in can("translate")])
def test_another_seed_draws_others_and_a_longer_sample_begins_with_the_shorter(name):
    model = adapted(name).eval()
    assert not torch.equal(model.sample(4, seed=1), model.sample(4, seed=2))
    long = model.sample(MAX_CHUNK + 3)
    torch.testing.assert_close(model.sample(MAX_CHUNK), long[:MAX_CHUNK])


@pytest.mark.parametrize("name", can("conditional"))
def test_a_conditional_model_draws_what_it_is_asked_for(name):
    model = adapted(name).eval()
    ones, twos = (model.sample(4, seed=0, y=torch.full((4,), label)) for label in (1, 2))
    assert not torch.allclose(ones, twos)
    with pytest.raises(ValueError, match="labels"):
        build_unlabelled(name)


def build_unlabelled(name):
    config = dict(MODELS[name][0])
    return build("models", config, (1, 16, 16), 0)


@AT_EVERY_SHAPE
@pytest.mark.parametrize("name", can("reconstruct"))
def test_reconstructions_are_images_of_the_codes(name, shape):
    model = adapted(name, shape).eval()
    batch = batch_of(shape)
    label = (batch.y,) if getattr(model, "conditional", False) else ()
    again = model.reconstruct(batch.x, *label)
    assert again.shape == batch.x.shape
    assert again.min() >= -1
    assert again.max() <= 1
    torch.testing.assert_close(again, model.decode_image(model.encode_mean(batch.x, *label), *label))


@AT_EVERY_SHAPE
@pytest.mark.parametrize("name", can("translate"))
def test_translations_are_images(name, shape):
    model = adapted(name, shape).eval()
    for to in ("a", "b"):
        made_of = model.translate(batch_of(shape).x, to)
        assert made_of.shape == (N, *shape)
        assert made_of.min() >= -1
        assert made_of.max() <= 1


@AT_EVERY_SHAPE
@pytest.mark.parametrize("name", can("features"))
def test_classifiers_give_logits_of_their_features(name, shape):
    model = adapted(name, shape).eval()
    x = batch_of(shape).x
    assert model(x).shape == (N, CLASSES)
    torch.testing.assert_close(model(x), model.head(model.features(x)))


@pytest.mark.parametrize("name", can("log_weights"))
def test_importance_weights_are_finite_and_differ(name):
    model = adapted(name).eval()
    batch = batch_of()
    label = (batch.y,) if getattr(model, "conditional", False) else ()
    x = model.binarize_or_dequantize(batch.x, torch.rand(batch.x.shape))
    weights = model.log_weights(x, torch.randn(3, N, model.noise_dim), *label)
    assert weights.shape == (3, N)
    assert weights.isfinite().all()
    assert not torch.equal(weights[0], weights[1])


@EVERY
@AT_EVERY_SHAPE
def test_each_turn_moves_every_parameter_of_its_module_and_no_other(name, shape):
    model = adapted(name, shape)
    batch = batch_of(shape)
    for turn in objective(name).phases(model):
        terms, gradients = gradients_of(turn, model, batch)
        own = {id(parameter) for parameter in turn.module.parameters()}
        assert terms.loss.shape == (N,)
        assert all(values.shape[:1] == (N,) and not values.requires_grad for values in terms.logged.values())
        for key, parameter in model.named_parameters():
            if id(parameter) in own:
                assert gradients[key] is not None, f"{turn.name} does not reach {key}"
                assert gradients[key].isfinite().all()
                assert gradients[key].count_nonzero() > 0 or key.endswith("bias"), f"{turn.name} leaves {key} alone"
            else:
                assert gradients[key] is None, f"{turn.name} reaches {key}"


@EVERY
@pytest.mark.parametrize("side", [128, 256])
def test_large_photographs_pass_through_every_phase(name, side):
    """In small widths: a step moves its module by finite gradients, and samples have the shape of the images."""
    shape = (3, side, side)
    options = {key: 4 if key.startswith("width") else value for key, value in MODELS[name][0].items()}
    model = build("models", options, shape, CLASSES).to(memory_format=torch.channels_last)
    if hasattr(model, "on_fit_start"):
        model.on_fit_start(images(shape, 2), images(shape, 2))
    batch = next(batches(images(shape, 4), 2, seed=3, domain_b=images(shape, 4, seed=2)))
    for turn in objective(name).phases(model):
        terms, gradients = gradients_of(turn, model, batch)
        found = [gradient for gradient in gradients.values() if gradient is not None]
        assert terms.loss.isfinite().all() and all(gradient.isfinite().all() for gradient in found)
        assert any(gradient.count_nonzero() for gradient in found)
    if hasattr(model, "sample"):
        assert model.eval().sample(2).shape == (2, *shape)


@EVERY
def test_bfloat16_stays_near_float32(name):
    model = adapted(name)
    batch = batch_of()
    for turn in objective(name).phases(model):
        exact, _ = gradients_of(turn, model, batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = turn.step_losses(batch)
        assert rounded.loss.dtype == torch.float32
        torch.testing.assert_close(rounded.loss, exact.loss, rtol=0.05, atol=0.05)


@EVERY
def test_the_loss_falls_on_32_images(name):
    """Each turn on its own, against players that stand still: 30 steps of Adam lower what it is to lower."""
    model = adapted(name)
    for turn in objective(name).phases(model):
        batch = batch_of(size=32)
        optimizer = torch.optim.Adam(turn.module.parameters(), lr=2e-3)
        losses = []
        for _ in range(30):
            terms, _ = gradients_of(turn, model, batch)
            losses.append(terms.loss.mean().item())
            optimizer.step()
        assert losses[-1] < losses[0], f"{turn.name}: {losses[0]} -> {losses[-1]}"


PLOTS = {name: plot for each in read_yaml(ROOT / "dvc.yaml")["plots"] for name, plot in each.items()}


@pytest.mark.parametrize("name", PLOTS)
def test_the_curves_that_dvc_draws_are_among_what_training_reports(name):
    (columns,) = PLOTS[name]["y"].values()
    batch, model = batch_of(), adapted(name)
    told = set().union(*(turn.step_losses(batch).logged for turn in objective(name).phases(model)))
    assert set([columns] if isinstance(columns, str) else columns) <= told
