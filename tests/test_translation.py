"""Translation between two domains: the networks, the image pool, the terms, and how a translator is judged."""

import copy
import threading
from dataclasses import replace

import pytest
import torch
from phases import gradients_of
from prepared import digits, final_weights
from torch import nn

from genlib.data.batches import Batch, batches, seeded_generator
from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.data.images import Images, to_float
from genlib.errors import InputError
from genlib.evaluation.evaluator import Evaluator, RealFeatures, TrialScorer, compute_applicable_metrics, draw_samples
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.figures.evaluation import plot_sample_grid
from genlib.figures.translation import plot_translations
from genlib.metrics.inputs import extract_features
from genlib.metrics.registry import compute_metrics
from genlib.metrics.translation import TranslationDirection, cycle_error, label_preservation
from genlib.models import cyclegan
from genlib.models.layers.cyclegan import POOL_SIZE, ImagePool
from genlib.objectives import translation
from genlib.report.leaderboard import better_direction, describe_metric
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob

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


def batch_of(shape=(1, 8, 8), size=12, step=0, rank=0, world=1) -> Batch:
    data, other = images(shape), images(shape, n=30, seed=2)
    return next(batches(data, size, seed=3, step=step, rank=rank, world=world, domain_b=other))


# the networks


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
    with pytest.raises(ValueError, match=f"^{option} must .* found {value}$"):
        room.Build(*facts, **{option: value})


# the image pool


def fakes(first, n=10):
    """Images [n, 1, 2, 2], each known by its one intensity."""
    return torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 1, 2, 2).clone()


def known(x):
    return x[:, 0, 0, 0].tolist()


def test_the_pool_begins_by_filling():
    pool = ImagePool((1, 2, 2))
    for seen in range(0, POOL_SIZE + 10, 20):
        assert known(pool.query(fakes(seen, 20), seen, seeded_generator(seen))) == list(range(seen, seen + 20))
    assert known(pool.images) == list(range(POOL_SIZE))


@pytest.mark.parametrize(("n", "old"), [(1, 0), (10, 5), (13, 6), (160, 50)])
def test_half_of_what_is_shown_is_old_and_what_it_leaves_is_kept(n, old):
    pool = ImagePool((1, 2, 2))
    pool.query(fakes(0, POOL_SIZE), 0, seeded_generator(0))
    new = fakes(1000, n)
    shown = known(pool.query(new, POOL_SIZE, seeded_generator(1)))
    assert sum(value < POOL_SIZE for value in shown) == old
    assert sorted(shown + known(pool.images)) == sorted([*range(POOL_SIZE), *known(new)])
    assert known(new) == list(range(1000, 1000 + n))


def test_what_is_exchanged_is_drawn():
    def shown(*keys):
        pool = ImagePool((1, 2, 2))
        pool.query(fakes(0, POOL_SIZE), 0, seeded_generator(0))
        return known(pool.query(fakes(1000), POOL_SIZE, seeded_generator(*keys)))

    assert shown("one") == shown("one") != shown("two")


# the terms


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
    with pytest.raises(ValueError, match=r"^semantic must be 0 for a model without judge: true, found 1.5$"):
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


# ranks and resuming


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


def job(data, state, **objective):
    training = TrainConfig(128, 16, report_every=32, checkpoint_every=64, precision="float32")
    model = {"name": "cyclegan", "width": 4, "blocks": 1, "width_d": 4, "judge": True}
    return TrainingJob("cyclegan", model, {"name": "translation", **objective}, training, load_dataset(data), state)


def test_a_resumed_run_is_the_undisturbed_one_bit_for_bit(data, tmp_path):
    list(fit(job(data, tmp_path / "whole", **ALL)))
    for progress in fit(job(data, tmp_path / "cut", **ALL)):
        if progress.checkpoint_due:
            break
    list(fit(job(data, tmp_path / "cut", **ALL)))
    (averaged, raw, history), (averaged_too, raw_too, history_too) = (
        final_weights(tmp_path / name) for name in ("whole", "cut")
    )
    assert history == history_too
    assert raw["pool.a.images"].any()
    assert raw["shown"].any()
    for one, other in ((averaged, averaged_too), (raw, raw_too)):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_one_domain_is_refused_before_any_training(tmp_path):
    prepare(DataConfig(name="digits"), tmp_path)
    with pytest.raises(InputError, match="got one domain of images, expected two"):
        next(fit(job(tmp_path, None)))


# how a translator is judged


class Judge(nn.Module):
    """The four corners' brightness is its features, in which the noise of four pixels makes it err."""

    def features(self, x):
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1) + 4 * x[:, :, 2:4, 2:4].flatten(1)

    def forward(self, x):
        return 4 * self.features(x)


class Shift(nn.Module):
    """Adds 0.1 to b, and 0.05 to a."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def translate(self, x, to):
        return x + (0.1 if to == "b" else 0.05)


class Still(Shift):
    def translate(self, x, to):
        return x


class Domain:
    """What a data set is, of images in memory."""

    def __init__(self, seed, n=(300, 130, 140), domain_b=None, classes=("0", "1", "2", "3")):
        self.train, self.valid, self.test = (images(n=size, seed=seed + k) for k, size in enumerate(n))
        self.domain_b, self.classes = domain_b, list(classes)


def bench(**options):
    dataset = Domain(10, domain_b=Domain(20, n=(200, 160, 120), **options))
    judge = Judge()
    return Evaluator(CachedExtractor(judge), dataset, RealFeatures.extract(CachedExtractor(judge), dataset), {})


def test_each_way_is_held_against_the_domain_it_leads_to():
    real = bench()
    ways = real.test_inputs(Still(), 100, 0)
    domains = real.real, real.domain_b
    for (ending, evidence), (source, target) in zip(ways.items(), (domains, domains[::-1]), strict=True):
        assert evidence.model.to == ending[-1]
        assert evidence.n == 100
        assert evidence.train is target.train
        for mine, all_of in (
            (evidence.valid, target.valid),
            (evidence.test, target.test),
            (evidence.generated, source.test),
        ):
            kept = {image.numpy().tobytes() for image in all_of.pixels}
            assert all(image.numpy().tobytes() in kept for image in mine.pixels)
        assert torch.equal(evidence.generated.pixels, evidence.model.source.pixels)
        assert torch.equal(evidence.generated.labels, evidence.model.source.labels)


def test_a_rehearsal_sees_no_test_images():
    real = bench()
    hidden = {image.numpy().tobytes() for views in (real.real, real.domain_b) for image in views.test.pixels}
    for evidence in real.validation_inputs(Still(), 100, 0).values():
        for view in (evidence.generated, evidence.test, evidence.valid, evidence.train):
            assert not any(image.numpy().tobytes() in hidden for image in view.pixels)


def test_the_second_domain_is_looked_at_for_those_alone_who_need_it():
    real = bench()
    real.test_inputs(nn.Linear(1, 1), 50, 0)
    assert "domain_b" not in vars(real)


def test_a_translator_before_one_domain_is_refused():
    dataset, judge = Domain(10), Judge()
    with pytest.raises(InputError, match=r"^data.domain_b: got one domain"):
        Evaluator(
            CachedExtractor(judge), dataset, RealFeatures.extract(CachedExtractor(judge), dataset), {}
        ).test_inputs(Still(), 50, 0)


def test_who_changes_nothing_keeps_as_many_labels_as_the_judge_knows_of_the_source():
    real = bench()
    found = compute_applicable_metrics(
        real.test_inputs(Still(), 500, 0), ["label_preservation", "frechet", "accuracy", "cycle_error"]
    )
    ways = ("_a2b", "_b2a")
    assert list(found) == [name + way for name in ("label_preservation", "frechet", "cycle_error") for way in ways]
    back = found["label_preservation_b2a"]
    knows = (real.domain_b.test.predicted_classes == real.domain_b.test.labels).float().mean().item()
    assert back.value == pytest.approx(knows)
    assert 0.5 < knows < 1
    assert back.n == 120
    assert back.low < back.value < back.high
    chosen = real.test_inputs(Still(), 500, 0)["_b2a"].with_real_samples().generated
    assert back.null == pytest.approx((chosen.predicted_classes == chosen.labels).float().mean().item())
    assert back.detail["null"]["low"] < back.null < back.detail["null"]["high"]
    assert found["cycle_error_a2b"].value == 0


def test_labels_of_other_classes_are_not_compared():
    found = compute_applicable_metrics(bench(classes="wxyz").test_inputs(Still(), 100, 0), ["label_preservation"])
    assert {each.detail["reason"] for each in found.values()} == {"the two domains share no labels"}


def test_the_cycle_error_is_of_intensities():
    direction = TranslationDirection(Shift(), "b", images(n=50))
    evidence = replace(bench().test_inputs(Still(), 50, 0)["_a2b"], model=direction)
    found = compute_metrics(evidence, ["cycle_error"])["cycle_error"]
    assert found.value == pytest.approx(0.075, abs=1e-6)
    assert found.low == pytest.approx(found.high, abs=1e-6)
    assert found.null is None
    few = replace(direction, source=images(n=5))
    assert "at least 6" in cycle_error(replace(evidence, model=few)).detail["reason"]


def test_who_does_not_translate_is_told():
    evidence = replace(bench().test_inputs(Still(), 50, 0)["_a2b"], model=None)
    for metric in (label_preservation, cycle_error):
        assert metric(evidence).detail["reason"] == "this model does not translate"


def test_a_rehearsal_gives_the_mean_of_both_ways():
    real = bench()
    asked = ("label_preservation", "frechet", "accuracy")
    found = TrialScorer(real, asked, 120, 0)(Still())
    assert list(found) == ["label_preservation", "frechet", "label_preservation_low", "label_preservation_high"]
    ways = compute_applicable_metrics(real.validation_inputs(Still(), 120, 0), ["frechet"])
    assert found["frechet"] == pytest.approx((ways["frechet_a2b"].value + ways["frechet_b2a"].value) / 2)


class Asked(nn.Module):
    """A conditional sampler whose images are as bright as their class."""

    conditional = True

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def sample(self, n, *, seed=0, y=None):
        return y.view(n, 1, 1, 1).expand(n, 1, 8, 8) / 10 - 0.5


def test_a_conditional_sampler_is_asked_for_classes_as_frequent_as_in_training():
    labels = torch.tensor([0, 0, 0, 2])
    found = draw_samples(Asked(), 4000, 0, labels)
    assert found.labels.bincount(minlength=4).tolist() == pytest.approx([3000, 0, 1000, 0], abs=120)
    expected = ((found.labels / 10 + 0.5) * 127.5).round()
    torch.testing.assert_close(found.pixels[:, 0, 0, 0].float(), expected, rtol=0, atol=1)
    assert torch.equal(draw_samples(Asked(), 50, 1, labels).labels, draw_samples(Asked(), 50, 1, labels).labels)
    assert not torch.equal(draw_samples(Asked(), 50, 1, labels).labels, draw_samples(Asked(), 50, 2, labels).labels)


def test_the_picture_has_three_rows_a_way(tmp_path):
    ways = bench().test_inputs(Shift(), 50, 0)
    path = plot_translations(ways, tmp_path / "translations.png")
    source = extract_features(Judge(), ways["_a2b"].model.source)
    assert path.stat().st_size > plot_sample_grid(source.pixels[:1], tmp_path / "one.png").stat().st_size


def test_the_report_knows_a_metric_of_either_way():
    assert better_direction("cycle_error_a2b") == "lower"
    assert better_direction("frechet_b2a") == better_direction("frechet")
    assert describe_metric("frechet_a2b") == describe_metric("frechet") + " Of images of A translated to B."
    assert describe_metric("frechet_b2c") == better_direction("frechet_b2c") == ""


def test_the_prepared_digits_are_two_domains_of_the_same_classes(data):
    dataset = load_dataset(data)
    assert dataset.domain_b.classes == dataset.classes
