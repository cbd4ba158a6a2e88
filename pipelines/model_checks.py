"""Whether the models of the params can be built and trained on the data, and which of them the data cannot feed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from genlib.data.config import DataConfig
from genlib.data.sources import Source
from genlib.errors import InputError, Refusals
from genlib.files import write_text
from genlib.metrics.registry import get_metric, metric_names
from genlib.params import Params, TuneSection

CHECKED_STAMP = Path(".genlib/checked")
GRAY_LIKELIHOODS = ("binarized", "gray_bce")
NO_LABELS = "the images have no labels: a folder for each class, or a column label in Parquet files, gives them"
ONE_DOMAIN = "one domain of images: a second one is a folder trainB beside trainA, or data.domain_b"


@dataclass(frozen=True)
class DataSpec:
    """What a model needs to know of the data; the common classes are those of both domains, none where they differ."""

    shape: tuple[int, int, int]
    num_classes: int
    num_common_classes: int
    num_domains: int

    @classmethod
    def from_domains(cls, domains: Sequence[tuple[Source, DataConfig]]) -> Self:
        (first, config), *_ = domains
        height, width = config.target_size or first.size or (28, 28)  # what only reading tells is 28 here
        common = first.classes if all(source.classes == first.classes for source, _ in domains) else ()
        return cls((first.channels, height, width), len(first.classes), len(common), len(domains))

    @classmethod
    def from_prepared(cls, folder: Path) -> Self:
        from genlib.data.dataset import load_dataset

        first = load_dataset(folder)
        domains = [each for each in (first, first.domain_b) if each]
        common = first.classes if all(each.classes == first.classes for each in domains) else []
        return cls(first.shape, len(first.classes), len(common), len(domains))


def check_models_once(params: Params, data_spec: DataSpec) -> None:
    """Build every model once without memory, unless `remember_checked` was given these params, data and code.

    Raises:
        InputError: models, searcher or metrics of the sweep do not fit; all refusals at once.
    """
    if CHECKED_STAMP.exists() and CHECKED_STAMP.read_text() == _checked_digest(params, data_spec):
        return
    refusals = Refusals()
    with refusals.collect():
        _check_sweep_metrics(params.tune)
    with refusals.collect():
        _check_searcher(params)
    with refusals.collect():
        _check_models(params, data_spec)
    refusals.raise_all()


def remember_checked(params: Params, data_spec: DataSpec) -> None:
    write_text(_checked_digest(params, data_spec), CHECKED_STAMP)


def _checked_digest(params: Params, data_spec: DataSpec) -> str:
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.parent.glob("genlib/**/*.py"))]
    return hashlib.sha256(b"".join([params.digest().encode(), repr(data_spec).encode(), *code])).hexdigest()


def _check_sweep_metrics(tune: TuneSection) -> None:
    for key, name in (("metric", tune.metric), ("second_metric", tune.second_metric)):
        if name in metric_names() and get_metric(name).better == "real":
            raise InputError(f"params.yaml: tune.{key}: got '{name}', best where real images are, expected one to push")


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

    Where more data would satisfy several models, one line says how to leave all of them out.
    """
    errors = {name: error for name in params.models if (error := _model_error(params, name, data_spec))}
    starved = [name for name in errors if _lacking_data(params, name, data_spec)]
    refusals = Refusals([error for name, error in errors.items() if name not in starved])
    if starved:
        error = errors[starved[0]]
        without = " ".join(f"models.{each}=null" for each in starved)
        labels = "expected data with labels (for a pair of domains the same ones), "
        hint = "" if "expected " in str(error) else labels
        way_out = f'{error}, {hint}or params without {", ".join(starved)} (SET="{without}")'
        refusals.errors.append(InputError(way_out))
    refusals.raise_all()


def group_starved_models(params: Params, data_spec: DataSpec) -> dict[str, list[str]]:
    """The models that cannot be trained on such data and could on others, by what these would have, in words."""
    groups: dict[str, list[str]] = {}
    for name in params.models:
        if _model_error(params, name, data_spec) and (lacking := _lacking_data(params, name, data_spec)):
            groups.setdefault(lacking, []).append(name)
    return groups


def _lacking_data(params: Params, name: str, data_spec: DataSpec) -> str:
    """What data would have on which the model could be trained; "" where no data would do."""
    classes, common = data_spec.num_classes or 10, data_spec.num_common_classes or 10
    labelled = replace(data_spec, num_classes=classes, num_common_classes=common)
    better = {
        NO_LABELS: labelled,
        ONE_DOMAIN: replace(data_spec, num_domains=2),
        f"{NO_LABELS}; {ONE_DOMAIN}": replace(labelled, num_domains=2),
    }
    return next((lacking for lacking, spec in better.items() if _model_error(params, name, spec) is None), "")


def warn_of_gray_likelihoods(params: Params, data_spec: DataSpec) -> None:
    """Print a line for each likelihood of black and white pixels that is to model colours."""
    for name, section in params.models.items() if data_spec.shape[0] > 1 else ():
        if (likelihood := section.model.get("pixel_likelihood")) in GRAY_LIKELIHOODS:
            key = f"models.{name}.model.pixel_likelihood"
            print(f"{key}: got {likelihood} on colour images, of which it learns little; auto picks one that fits")


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
