"""Before anything is touched: are the params, the data they name and the tracking address legal?

`python -m pipelines.check [--preset NAME] [--set key=value ...] [--tune MODEL]` lays a preset and single values over
params.yaml, validates the result, and only then writes it. Exits with 2 and one line on anything wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib import provenance
from genlib.data.config import find_domains
from genlib.errors import InputError, guarded, unknown
from genlib.files import write_text
from genlib.metrics.registry import check_names
from genlib.params import Params, merge, nested, parse, parse_yaml, read_yaml
from genlib.tracking.mlflow import tracking_uri
from pipelines.stage import ROOT

if TYPE_CHECKING:
    from genlib.data.sources import Source

PARAMS, PRESETS, RATINGS, RUNS = Path("params.yaml"), Path("presets"), Path("data/ratings"), Path("runs")
STAMP = Path(".genlib/checked")
RATING_COLUMNS = "rater,item,answer,truth,seconds,time\n"


def check(preset: str | None, assignments: list[str], tuned: str | None = None) -> None:
    """Validate params.yaml with a preset and single values laid over it, and write it where they change it.

    `tuned` is a model that is to be tuned.
    """
    values = read_yaml(PARAMS)
    wanted = merge(merge(values, _preset(preset)), _assigned(assignments))
    params = parse(wanted, PARAMS)
    if tuned and tuned not in params.tune.models:
        raise unknown("MODEL", tuned, params.tune.models)
    domains = [source for source, _ in find_domains(params.data.settings())]
    check_names(params.evaluate.metrics, "params.yaml: evaluate.metrics")
    check_names([params.tune.metric], "params.yaml: tune.metric")
    check_names([params.tune.diversity], "params.yaml: tune.diversity")
    check_names(params.tune.limits, "params.yaml: tune.limits")
    tracking_uri(provenance.home(ROOT))
    _once(params, Facts.of(params, domains))
    if wanted != values:
        _write(wanted)
    for stage in ("train", "tune", "evaluate", "compare"):
        (RUNS / stage).mkdir(parents=True, exist_ok=True)
    for model in params.models:
        if not (RATINGS / f"{model}.csv").exists():
            write_text(RATING_COLUMNS, RATINGS / f"{model}.csv")


def _preset(name: str | None) -> dict[str, Any]:
    if not name:
        return {}
    known = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in known:
        raise unknown("PRESET", name, known)
    return read_yaml(PRESETS / f"{name}.yaml")


def _assigned(assignments: list[str]) -> dict[str, Any]:
    """["train.seed=1"] -> {"train": {"seed": 1}}; values are YAML."""
    pairs = [assignment.partition("=") for assignment in assignments]
    for key, sign, _ in pairs:
        if not (key and sign):
            raise InputError(f"SET: found {key!r}, legal: key=value with a dotted key of params.yaml")
    return nested({key: parse_yaml(value, f"SET: {key}") for key, _, value in pairs})


@dataclass(frozen=True)
class Facts:
    """What the data say to a model: the shape of an image, how many classes and how many domains there are.

    `common` are the classes that both domains have, for what learns from pairs: none where they differ.
    """

    shape: tuple[int, int, int]
    classes: int
    common: int
    domains: int

    @classmethod
    def of(cls, params: Params, domains: Sequence[Source]) -> Facts:
        """A size that only the images themselves tell is taken for 28."""
        size, classes = params.data.image_size or 28, domains[0].classes
        common = classes if all(domain.classes == classes for domain in domains) else ()
        return cls((domains[0].channels, size, size), len(classes), len(common), len(domains))

    @property
    def plenty(self) -> Facts:
        """The same with labels and with a second domain."""
        return replace(self, classes=self.classes or 10, common=self.common or 10, domains=2)


def _once(params: Params, facts: Facts) -> None:
    """Build every model once without memory, unless these params, facts and this code have passed before."""
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.parent.glob("genlib/**/*.py"))]
    digest = hashlib.sha256(b"".join([params.digest().encode(), repr(facts).encode(), *code])).hexdigest()
    if STAMP.exists() and STAMP.read_bytes() == digest.encode():
        return
    for key, name in (("metric", params.tune.metric), ("diversity", params.tune.diversity)):
        _goal(key, name)
    _searcher(params)
    _build(params, facts)
    write_text(digest, STAMP)


def _goal(key: str, name: str) -> None:
    """A sweep pushes its metrics as far as it can, so that has to be good."""
    from genlib.metrics.registry import find

    if find(name).better == "real":
        raise InputError(f"params.yaml: tune.{key}: found '{name}', best where real images are, legal: one to push")


def _searcher(params: Params) -> None:
    """Trials of several workers are run in full, since a group of workers whose trial is stopped keeps its CPUs; a
    population changes continuous knobs of a trial in training."""
    from genlib.tuning.searchers import IN_FULL, POPULATIONS
    from genlib.tuning.space import continuous

    searcher, workers = params.tune.searcher, params.tune.resources.workers
    if workers and searcher not in IN_FULL:
        legal = f"0 with the searcher {searcher}, or tune.searcher {' or '.join(IN_FULL)}"
        raise InputError(f"params.yaml: tune.resources.workers: found {workers}, legal: {legal}")
    if searcher not in POPULATIONS:
        return
    for model in params.tune.models:
        space = params.models[model].search
        if not any(continuous(entry) for key, entry in space.items() if not key.startswith("model.")):
            raise InputError(
                f"params.yaml: models.{model}.search: found no uniform or loguniform knob of train or objective, "
                f"legal: one or more with the searcher {searcher}"
            )


def _build(params: Params, facts: Facts) -> None:
    """Every model, objective and optimiser that the params name, and both ends of every search space.

    Of models that more data would content, the complaint says how to do without all of them.
    """
    refusals = {name: error for name in params.models if (error := _refusal(params, name, facts))}
    for name, error in refusals.items():
        starved = [each for each in refusals if _refusal(params, each, facts.plenty) is None]
        if name not in starved:
            raise error
        without = " ".join(f"models.{each}=null" for each in starved)
        legal = "or" if "legal: " in str(error) else "legal: data with labels (for a pair of domains the same ones), or"
        raise InputError(f'{error}, {legal} params without {", ".join(starved)} (SET="{without}")')


def _refusal(params: Params, name: str, facts: Facts) -> InputError | None:
    """Why one model cannot be trained on such data, or not with a knob that a sweep would turn; None where it can."""
    import torch

    turned = _corners(params.models[name].search) if name in params.tune.models else []
    try:
        with torch.device("meta"):
            for knobs in [{}, *turned]:
                _start(_turned(params, name, knobs), name, facts)
    except InputError as error:
        return error
    return None


def _turned(params: Params, name: str, knobs: Mapping[str, Any]) -> Params:
    """The params with these knobs of the model `name`, validated again."""
    from genlib.training.overrides import options, resolved

    section = params.models[name]
    values = resolved(knobs, options(section.model, section.objective, params.training(name))) if knobs else {}
    return params.changed({f"models.{name}.{key}": value for key, value in values.items()})


def _start(params: Params, name: str, facts: Facts) -> None:
    import torch

    from genlib.training.fit import Job, Training, objective_of, start

    section = params.models[name]
    job = Job(name, section.model, section.objective, Training(**params.training(name)), Path())
    classes = facts.common if objective_of(job).domains == "pair" else facts.classes
    start(job, facts.shape, classes, facts.domains, torch.device("meta"))


def _corners(search: Mapping[str, Mapping[str, list[Any]]]) -> list[dict[str, Any]]:
    """Knobs that reach every choice and both ends of every range, a few at a time: all the first, all the last,
    and each choice between them once."""
    lists = {key: next(iter(entry.values())) for key, entry in search.items()}
    if not lists:
        return []
    first, last = ({key: values[end] for key, values in lists.items()} for end in (0, -1))
    return [first, last, *(first | {key: value} for key, values in lists.items() for value in values[1:-1])]


def _write(wanted: Mapping[str, Any]) -> None:
    """Change params.yaml in place, with its comments, and say so."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 120
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    document = yaml.load(PARAMS)
    changed = [key for key in {**document, **wanted} if document.get(key) != wanted.get(key)]
    _overlay(document, wanted)
    text = io.StringIO()
    yaml.dump(document, text)
    write_text(text.getvalue(), PARAMS)
    print(f"params.yaml changed: {', '.join(changed)} (git checkout params.yaml brings the committed values back)")


def _overlay(document: MutableMapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Make `document` say what is wanted, and leave alone what says it already."""
    for key in [key for key in document if key not in wanted]:
        del document[key]
    for key, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), MutableMapping):
            _overlay(document[key], value)
        elif key not in document or document[key] != value:
            document[key] = value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.check", description=check.__doc__)
    parser.add_argument("--preset", metavar="NAME", help="a file of presets/, without .yaml")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="*", default=[], help="single values by dotted key")
    parser.add_argument("--tune", metavar="MODEL", help="a model that is to be tuned, one of tune.models")
    asked = parser.parse_args()
    sys.exit(guarded(lambda: check(asked.preset, asked.set, asked.tune)))


if __name__ == "__main__":
    main()
