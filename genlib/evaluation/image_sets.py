"""Where images that nothing here made, who looks at them, and the metrics meet.

Held-out real images are dealt into two halves: fakes are held against `test`, and `valid` in their place gives the
null. Training images are what the generator saw; without them, what needs them has no value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genlib.data import image_sets as pictures
from genlib.data.batches import seeded
from genlib.data.image_sets import Pictures, Shape
from genlib.data.images import Images
from genlib.data.splits import stratify
from genlib.errors import InputError
from genlib.evaluation.controls import plant
from genlib.evaluation.evaluator import applicable
from genlib.evaluation.extractors import COMPONENTS, Pca, network, networks
from genlib.evaluation.feature_cache import Looker
from genlib.metrics.classification import accuracy_of
from genlib.metrics.inputs import Absent, Evidence, View, shuffled
from genlib.metrics.registry import check_names, names
from genlib.metrics.registry import evaluate as measured
from genlib.metrics.result import Measure, Undefined
from genlib.registry import load

T = TypeVar("T")
Say = Callable[[str], None]
Watch = Callable[[Sequence[Any], str], Iterable[Any]]

NO_TRAIN = "no training images were given: --train"
NO_JUDGE = "No judge given: principal components of pixels."
CHUNK = 100  # images between two signs of progress
NAMED = 5  # unreadable files that are named one by one


def silent(things: Sequence[T], title: str) -> Iterable[T]:
    """The things as they are."""
    return things


@dataclass(frozen=True)
class Extractor:
    """Who looks. `classes`: how many of the data's classes it knows, 0 for one that knows none; `facts` of its card."""

    judge: nn.Module
    name: str
    layer: str
    classes: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def card(self, look: Looker, test: View) -> dict[str, Any]:
        """As that of a judge: name, layer, accuracy on test where that is known, and the hash of the weights."""
        try:
            accuracy = accuracy_of(test).value if self.classes else None
        except Undefined:
            accuracy = None
        layer = f"{self.layer}[{test.features.shape[1]}]"
        return {"extractor": self.name, "layer": layer, "accuracy": accuracy, "sha256": look.sha256, **self.facts}


def extractor(asked: str | nn.Module | None, images: Images, components: int, seed: int) -> Extractor:
    """Who is asked for: None or "pca", a model folder, "<name of a torchvision classifier>:<weights file>", or any
    module with `features(x)` and logits; `images` are what components would be fitted to.

    Raises:
        InputError: there is no such extractor, or it does not look at images of this shape.
    """
    if isinstance(asked, nn.Module):
        return Extractor(asked, type(asked).__name__, "features")
    if asked is None or asked == "pca":
        pca = Pca(images, seed, components)
        facts = {"explained": float(pca.explained), "fitted": len(images)} | ({} if asked else {"note": NO_JUDGE})
        return Extractor(pca, "pca", "components", facts=facts)
    if Path(asked).is_dir():
        return _of_folder(Path(asked), images.shape)
    name, colon, weights = asked.partition(":")
    if name in networks() and not colon:
        raise InputError(f"--extractor: found {name} without its weights, legal: {name}:WEIGHTS_FILE")
    return Extractor(network(name, Path(weights)), name, "penultimate")


def _of_folder(folder: Path, shape: Shape) -> Extractor:
    judge = load(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not hasattr(judge, "features"):
        raise InputError(f"{folder}: found a model that does not classify, legal: a judge's folder")
    if tuple(config["shape"]) != shape:
        channels, height, width = config["shape"]
        size = f" (--size {height})" if channels == shape[0] and height == width else ""
        raise InputError(f"{folder}: found a judge of images {config['shape']}, legal: of {list(shape)}{size}")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return Extractor(judge, folder.resolve().name, "features", config["classes"], {"sha256": digest})


@dataclass(frozen=True)
class Case:
    """Evidence on images that nothing here made, the card of what it was made of, and the names of the classes."""

    evidence: Evidence
    card: Mapping[str, Any]
    classes: Sequence[str]

    def measures(self, asked: Sequence[str] | None = None) -> Iterator[tuple[str, Measure]]:
        """One metric after the other: those asked for, or all that judge generated images."""
        for name in asked or applicable(self.evidence, names()):
            yield name, measured(self.evidence, [name])[name]


def judged(
    sets: Mapping[str, Pictures],
    asked: str | nn.Module | None = None,
    *,
    size: int | None = None,
    strict: bool = False,
    seed: int = 0,
    say: Say = lambda line: None,
    watch: Watch = silent,
) -> Case:
    """What the extractor `asked` for sees of the sets `real`, `fake` and, where that is known, `train`.

    All are brought to the commonest shape of the real ones, or to squares of `size`.

    Raises:
        InputError: there are fewer than two real images; or, if `strict`, shapes differ.
    """
    real = sets["real"]
    if len(real) < 2:
        raise InputError(f"--real: found {len(real)} image, legal: at least 2, to be dealt into two halves")
    channels, height, width = pictures.commonest(real)
    shape = (channels, size or height, size or width)
    for name, each in sets.items():
        _report(name, each, shape, size, strict, say)
    known = pictures.all_classes(each for name, each in sets.items() if name != "fake")
    images = {name: each.fitted(shape, known) for name, each in sets.items()}
    components = max(1, min(COMPONENTS, len(real) // 4))
    who = extractor(asked, images.get("train", images["real"]), components, seed)
    classes = _understood(known, who.classes, say)
    images = {name: each if _labelled(name, who, classes) else Images(each.pixels) for name, each in images.items()}
    look = Looker(who.judge, device="cuda" if torch.cuda.is_available() else "cpu")
    evidence = _evidence(images, who, look, seed, watch)
    judge = who.card(look, evidence.test)
    say(judge.get("note") or f"Judged by {who.name}.")
    say(f"{evidence.n} of {len(sets['fake'])} generated images are held against {evidence.n} of {len(real)} real ones")
    facts = {"shared": _shared(images, say), "judge": judge}
    return Case(evidence, _card(sets, images, evidence) | facts, classes)


def _labelled(name: str, who: Extractor, classes: Sequence[str]) -> bool:
    """Labels of real images name the data's classes, and those of fakes the classes that were asked for, which only a
    judge that knows them can see."""
    return bool(classes) and (name != "fake" or who.classes > 0)


def _card(sets: Mapping[str, Pictures], images: Mapping[str, Images], evidence: Evidence) -> dict[str, Any]:
    counts = {"valid": len(evidence.valid), "test": len(evidence.test), "fake": len(images["fake"])}
    return {
        **_made_by(),
        "stage": "evaluate",
        "model": "fake",
        "data": sets["real"].source,
        "data_sha256": pictures.sha256(images["real"]),
        "counts": {"train": len(images.get("train", ())), **counts},
        "split": "halves of the real images",
        "seed": evidence.seed,
        "n": evidence.n,
        "shape": list(images["real"].shape),
        "sources": {name: _source(each, images[name]) for name, each in sets.items()},
    }


def _report(name: str, found: Pictures, shape: Shape, size: int | None, strict: bool, say: Say) -> None:
    """Say what was left out and what will be changed; if `strict`, refuse it, but for the sizes that `size` changes."""
    words = f"{shape[0]}x{shape[1]}x{shape[2]}"
    for reason in found.skipped[:NAMED]:
        say(f"--{name}: left out {reason}")
    if found.skipped:
        say(f"--{name}: left out {len(found.skipped)} of {len(found) + len(found.skipped)} files")
    odd = found.odd(shape)
    wrong = odd if size is None else sum(pixels.shape[0] != shape[0] for pixels in found.pixels)
    if wrong and strict:
        raise InputError(f"--{name}: found {wrong} of {len(found)} images of another shape, legal: {words}")
    if odd:
        say(f"--{name}: {odd} of {len(found)} images are resized or converted to {words}")


def _understood(known: tuple[str, ...], classes: int, say: Say) -> tuple[str, ...]:
    """The names of the classes, as far as labels can be held against a judge of so many."""
    if not classes or not known:
        return known
    if len(known) != classes:
        say(f"labels are left aside: there are {len(known)} classes, and the judge knows {classes}")
        return ()
    return known


def _evidence(images: Mapping[str, Images], who: Extractor, look: Looker, seed: int, watch: Watch) -> Evidence:
    """The fakes, as many as can be held against half of the real images, and the controls."""

    def seen(some: Images, title: str) -> View:
        rows = torch.split(torch.arange(len(some)), CHUNK)
        return _joined([look(some[part]) for part in watch(rows, f"looking at {title}")])

    real = images["real"]
    labels = torch.zeros(len(real), dtype=torch.long) if real.labels is None else real.labels
    valid, test = stratify(labels, [len(real) // 2], seeded(seed, "halves"))
    chosen = torch.randperm(len(images["fake"]), generator=seeded(seed, "fake"))[: min(len(valid), len(test))]
    train = seen(images["train"], "training images") if "train" in images else Absent(NO_TRAIN)
    held, against = shuffled(seen(real[valid], "real images"), seen(real[test], "real images"), seed)
    made = seen(images["fake"][chosen], "fake images")
    evidence = Evidence(train, held, against, made, seed, named=who.classes > 0)
    return plant(evidence, lambda planted: seen(planted, "controls"))


def _joined(views: Sequence[View]) -> View:
    pixels, features, probabilities = (
        torch.cat([getattr(view, part) for view in views]) for part in ("pixels", "features", "probabilities")
    )
    labels = [view.labels for view in views if view.labels is not None]
    return View(pixels, torch.cat(labels) if labels else None, features, probabilities)


def _shared(images: Mapping[str, Images], say: Say) -> dict[str, int]:
    """How many images of one set are also in another, byte for byte: there should be none."""
    known = {name: [_hash(pixels) for pixels in each.pixels] for name, each in images.items()}
    shared = {}
    for one, other in (("real", "train"), ("fake", "real"), ("fake", "train")):
        if one in known and other in known:
            there = set(known[other])
            shared[f"{one}_in_{other}"] = count = sum(each in there for each in known[one])
            if count:
                say(f"{count} of {len(known[one])} images of --{one} are also in --{other}, byte for byte")
    return shared


def _hash(pixels: Tensor) -> bytes:
    return hashlib.sha256(pixels.numpy().tobytes()).digest()


def _source(found: Pictures, images: Images) -> dict[str, Any]:
    return {
        "source": found.source,
        "images": len(found),
        "sha256": pictures.sha256(images),
        "classes": list(found.classes),
        "changed": found.odd(images.shape),
        "skipped": list(found.skipped),
    }


def _made_by() -> dict[str, str]:
    """The version, and the commit where this is a checkout."""
    from importlib.metadata import PackageNotFoundError, version

    from genlib.provenance import commit, dirty

    root = Path(__file__).parents[2]
    checkout = (root / ".git").exists()
    try:
        release = version("genlib")
    except PackageNotFoundError:
        release = "unknown"
    known = {"commit": commit(root), "dirty": str(dirty(root)).lower()} if checkout else {"commit": "unknown"}
    return {"version": release, **known}


def shown(case: Case, measures: Mapping[str, Measure], command: str) -> str:
    """The page of one evaluation; `command` makes it again."""
    from tempfile import TemporaryDirectory

    from genlib.figures.contact_sheets import write_sheets
    from genlib.figures.evaluation import write_figures
    from genlib.report.page import Origin, page
    from genlib.runs import ModelResults, Results, read_sheets

    card = case.card
    data = {
        "name": Path(card["data"]).name,
        "source": card["data"],
        "classes": list(case.classes),
        "shape": card["shape"],
        "counts": card["counts"],
        "sha256": card["data_sha256"],
    }
    tags = {f"genlib.{key}": card[key] for key in ("commit", "dirty") if key in card}
    with TemporaryDirectory() as folder:
        drawn = write_figures(case.evidence, measures, Path(folder))
        write_sheets(case.evidence, Path(folder) / "sheets")
        figures, sheets = {path.stem: path for path in drawn}, read_sheets(Path(folder) / "sheets")
        made = ModelResults("fake", measures=measures, card=card, figures=figures, sheets=sheets)
        results = Results(data, [made])
        return page(results, Origin(tags, {}, "", command))


def evaluate(
    real: Any,
    fake: Any,
    train: Any = None,
    *,
    extractor: str | nn.Module | None = None,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Measure]:
    """The metrics of generated images against held-out real ones; `train` is what the generator saw.

    Each set is `Images` or an array or tensor [N, C, H, W] (or [N, H, W, C]) of uint8 or of floats in [0, 1] or
    [-1, 1]; `extractor` is spelt as on the command line, or a module with `features(x)` that gives logits.

        >>> draw = torch.Generator().manual_seed(0)
        >>> real, fake = torch.rand(100, 1, 8, 8, generator=draw), torch.rand(50, 1, 8, 8, generator=draw) ** 2
        >>> measure = evaluate(real, fake, metrics=["c2st"])["c2st"]
        >>> measure.value > measure.null, measure.n
        (True, 50)

    Raises:
        InputError: a set, the extractor or a metric is not of a legal form.
    """
    check_names(metrics or (), "metrics")
    given = {"real": real, "fake": fake} | ({} if train is None else {"train": train})
    sets = {name: _pictures(images, name) for name, images in given.items()}
    return dict(judged(sets, extractor, seed=seed).measures(metrics))


def _pictures(images: Any, where: str) -> Pictures:
    if isinstance(images, Images):
        return pictures.of_array(images.pixels, where, images.labels)
    return pictures.of_array(images, where)
