"""Validate the params, the data they name and the tracking address.

`python -m pipelines.check [--preset NAME] [--set key=value ...] [--tune MODEL]` merges a preset and single values into
params.yaml, validates the result, and only then writes it. Exits with 2 and one line on an error.
"""

import argparse
import hashlib
import io
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from genlib import provenance
from genlib.data.catalog import find_domains
from genlib.data.sources import Source
from genlib.errors import InputError, run_cli, unknown_name
from genlib.files import write_text
from genlib.metrics.registry import check_metric_names, get_metric
from genlib.migration import require_current_names
from genlib.params import Params, expand_dotted, merge, parse_params, parse_yaml, read_yaml
from genlib.tracking.address import require_driver, tracking_uri
from pipelines.preflight import check_cluster, check_machine
from pipelines.repro_command import record_command
from pipelines.stage import ROOT

PARAMS, PRESETS, RATINGS, RUNS = Path("params.yaml"), Path("presets"), Path("data/ratings"), Path("runs")
CHECKED_STAMP = Path(".genlib/checked")
RATING_COLUMNS = "rater,item,answer,truth,seconds,time\n"


def check(preset: str | None, assignments: list[str], tuned_model: str | None = None) -> None:
    """Validate params.yaml with a preset and single values merged in, and write it if they change it."""
    values, before = read_yaml(PARAMS), PARAMS.read_bytes()
    overrides = {f"presets/{preset}.yaml": _load_preset(preset), "SET": _parse_assignments(assignments)}
    new_values = values
    for where, changes in overrides.items():
        require_current_names(changes, where)  # also where a null would remove what is not there
        new_values = merge(new_values, changes)
    params = parse_params(new_values, PARAMS)
    if tuned_model and tuned_model not in params.tune.models:
        raise unknown_name("MODEL", tuned_model, params.tune.models)
    domains = [source for source, _ in find_domains(params.data.to_config())]
    check_metric_names(params.evaluate.metrics, "params.yaml: evaluate.metrics")
    check_metric_names(params.tune.constraints, "params.yaml: tune.constraints")
    for key in ("metric", "second_metric"):
        check_metric_names([getattr(params.tune, key)], f"params.yaml: tune.{key}")
    require_driver(tracking_uri(provenance.main_worktree(ROOT)))
    check_machine(ROOT)
    check_cluster(params.ray.storage_path)
    _check_models_once(params, DataSpec.from_sources(params, domains))
    if new_values != values:
        _update_params_file(new_values)
        record_command(Path(), before, preset, assignments)
    for stage in ("train", "tune", "evaluate", "compare"):
        (RUNS / stage).mkdir(parents=True, exist_ok=True)
    for model in params.models:
        if not (RATINGS / f"{model}.csv").exists():
            write_text(RATING_COLUMNS, RATINGS / f"{model}.csv")


def _load_preset(name: str | None) -> dict[str, Any]:
    if not name:
        return {}
    presets = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in presets:
        raise unknown_name("PRESET", name, presets)
    return read_yaml(PRESETS / f"{name}.yaml")


def _parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """["train.seed=1"] -> {"train": {"seed": 1}}; values are YAML."""
    pairs = [assignment.partition("=") for assignment in assignments]
    for key, sign, _ in pairs:
        if not (key and sign):
            raise InputError(f"SET: got {key!r}, expected key=value with a dotted key of params.yaml")
    return expand_dotted({key: parse_yaml(value, f"SET: {key}") for key, _, value in pairs})


@dataclass(frozen=True)
class DataSpec:
    """What a model needs to know of the data; the common classes are those of both domains, none where they differ."""

    shape: tuple[int, int, int]
    num_classes: int
    num_common_classes: int
    num_domains: int

    @classmethod
    def from_sources(cls, params: Params, domains: Sequence[Source]) -> Self:
        size, classes = params.data.image_size or 28, domains[0].classes  # a size that only the images tell: 28
        common = classes if all(domain.classes == classes for domain in domains) else ()
        return cls((domains[0].channels, size, size), len(classes), len(common), len(domains))


def _check_models_once(params: Params, data_spec: DataSpec) -> None:
    """Build every model once without memory, unless these params, data and code have passed before."""
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.parent.glob("genlib/**/*.py"))]
    digest = hashlib.sha256(b"".join([params.digest().encode(), repr(data_spec).encode(), *code])).hexdigest()
    if CHECKED_STAMP.exists() and CHECKED_STAMP.read_bytes() == digest.encode():
        return
    for key, name in (("metric", params.tune.metric), ("second_metric", params.tune.second_metric)):
        if get_metric(name).better == "real":
            raise InputError(f"params.yaml: tune.{key}: got '{name}', best where real images are, expected one to push")
    _check_searcher(params)
    _check_models(params, data_spec)
    write_text(digest, CHECKED_STAMP)


def _check_searcher(params: Params) -> None:
    """Workers whose trial is stopped would keep their CPUs; a population changes continuous hyperparameters."""
    from genlib.tuning.searchers import NO_PRUNING, POPULATION_BASED
    from genlib.tuning.space import is_continuous

    searcher, workers = params.tune.searcher, params.tune.resources.workers
    if workers and searcher not in NO_PRUNING:
        expected = f"0 with the searcher {searcher}, or tune.searcher {' or '.join(NO_PRUNING)}"
        raise InputError(f"params.yaml: tune.resources.workers: got {workers}, expected {expected}")
    if searcher not in POPULATION_BASED:
        return
    for model in params.tune.models:
        space = params.models[model].search_space
        if not any(is_continuous(entry) for key, entry in space.items() if not key.startswith("model.")):
            raise InputError(
                f"params.yaml: models.{model}.search_space: got no uniform or loguniform hyperparameter of train or "
                f"objective, expected one or more with the searcher {searcher}"
            )


def _check_models(params: Params, data_spec: DataSpec) -> None:
    """Every model, objective and optimiser that the params name, and both ends of every search space.

    Where more data would satisfy several models, the error says how to leave all of them out.
    """
    refusals = {name: error for name in params.models if (error := _model_error(params, name, data_spec))}
    labelled_pair = DataSpec(data_spec.shape, data_spec.num_classes or 10, data_spec.num_common_classes or 10, 2)
    for name, error in refusals.items():
        starved = [each for each in refusals if _model_error(params, each, labelled_pair) is None]
        if name not in starved:
            raise error
        without = " ".join(f"models.{each}=null" for each in starved)
        labels = "expected data with labels (for a pair of domains the same ones), "
        hint = "" if "expected " in str(error) else labels
        raise InputError(f'{error}, {hint}or params without {", ".join(starved)} (SET="{without}")')


def _model_error(params: Params, name: str, data_spec: DataSpec) -> InputError | None:
    """Why one model cannot be trained on such data, or with a value of its search space; None where it can."""
    import torch

    from genlib.training.fit import build_objective, build_train_state
    from genlib.training.job import TrainingSpec
    from genlib.training.overrides import resolve_ratios

    def training_spec(params: Params) -> TrainingSpec:
        return TrainingSpec(name, params.models[name].model, params.models[name].objective, params.train_config(name))

    meta = torch.device("meta")
    corners = _search_space_corners(params.models[name].search_space) if name in params.tune.models else []
    try:
        for overrides in [{}, *corners]:
            spec = training_spec(params)
            if overrides:
                values = resolve_ratios(overrides, spec.options())
                spec = training_spec(params.with_overrides({f"models.{name}.{key}": v for key, v in values.items()}))
            with meta:
                objective = build_objective(spec)
                classes = data_spec.num_common_classes if objective.domains == "pair" else data_spec.num_classes
                build_train_state(spec, objective, data_spec.shape, classes, data_spec.num_domains, meta)
    except InputError as error:
        return error
    return None


def _search_space_corners(search_space: Mapping[str, Mapping[str, list[Any]]]) -> list[dict[str, Any]]:
    """Overrides that cover every choice and both ends of every range: all the first, all the last, and each choice
    between them once."""
    lists = {key: next(iter(entry.values())) for key, entry in search_space.items()}
    if not lists:
        return []
    first, last = ({key: values[end] for key, values in lists.items()} for end in (0, -1))
    return [first, last, *(first | {key: value} for key, values in lists.items() for value in values[1:-1])]


def _update_params_file(values: Mapping[str, Any]) -> None:
    """Change params.yaml in place, keep its comments, and print the change."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 120
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    document = yaml.load(PARAMS)
    changed = [key for key in {**document, **values} if document.get(key) != values.get(key)]
    _update_document(document, values)
    text = io.StringIO()
    yaml.dump(document, text)
    write_text(text.getvalue(), PARAMS)
    print(f"params.yaml changed: {', '.join(changed)} (git checkout params.yaml brings the committed values back)")


def _update_document(document: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    """Set `values` in `document`; equal ones keep their form and comments."""
    for key in [key for key in document if key not in values]:
        del document[key]
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), MutableMapping):
            _update_document(document[key], value)
        elif key not in document or document[key] != value:
            document[key] = value


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.check", description=check.__doc__)
    parser.add_argument("--preset", metavar="NAME", help="a file of presets/, without .yaml")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="*", default=[], help="single values by dotted key")
    parser.add_argument("--tune", metavar="MODEL", help="a model that is to be tuned, one of tune.models")
    asked = parser.parse_args()
    sys.exit(run_cli(lambda: check(asked.preset, asked.set, asked.tune)))


if __name__ == "__main__":
    main()
