"""params.yaml -> typed, validated settings; errors name the path of the key and the expected values.

Only this file uses pydantic. Nothing here imports torch, so that a wrong key is found at once.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML

from genlib.data.config import DataConfig, DomainBConfig, parse_root
from genlib.errors import InputError, one_line, unknown_name
from genlib.migration import require_current_names
from genlib.training.config import TrainConfig

PARAMS = Path("params.yaml")
MAX_VALUES, MAX_DEPTH = 100_000, 30  # values in a file, and levels of them
Count = Annotated[int, Field(ge=1, le=10**12)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Searcher = Literal["random", "random_no_pruning", "tpe", "multi_objective", "pbt", "pb2"]


class Section(BaseModel):
    """A section of params.yaml: exactly these keys, exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DomainBSection(Section):
    name: str
    root: str | None = None
    seed: Seed | None = None

    def to_config(self) -> DomainBConfig:
        root = parse_root(self.root, "data.domain_b.root") if self.root else None
        return DomainBConfig(self.name, root, self.seed)


class DataSection(Section):
    name: str
    root: str = "data/raw"
    download: bool = False
    split: Literal["official", "pooled"] = "pooled"
    seed: Seed = 0
    image_size: Annotated[int, Field(ge=8, le=64)] | None = None
    valid: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    test: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    domain_b: DomainBSection | None = None

    def to_config(self) -> DataConfig:
        domain_b = self.domain_b.to_config() if self.domain_b else None
        return DataConfig(**self.model_dump() | {"root": parse_root(self.root), "domain_b": domain_b})


_TRAIN_TYPES = get_type_hints(TrainConfig)
_train_fields: Any = {
    each.name: (_TRAIN_TYPES[each.name], Field(each.default, **each.metadata))
    for each in fields(TrainConfig)
    if each.name != "lr_by_phase"
}
_TrainFields: Any = create_model("TrainSection", __base__=Section, **_train_fields)


class TrainSection(_TrainFields):  # type: ignore[misc]
    """The options of `TrainConfig` for every model; `lr_<phase>` sets the rate of one phase (`lr_g`, `lr_d`)."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def _check_extra_keys(self) -> TrainSection:
        for key in self.__pydantic_extra__:
            if not key.startswith("lr_"):
                raise unknown_name(f"{key}: unknown key", key, [*type(self).model_fields, "lr_<phase>"])
        return self

    @field_validator("workers", mode="before")
    @classmethod
    def _check_workers(cls, workers: Any) -> Any:
        ends = workers if isinstance(workers, list) and len(workers) == 2 else [workers, workers]
        least = 1 if isinstance(workers, list) else 0
        if not all(type(end) is int for end in ends) or not least <= ends[0] <= ends[1]:
            raise ValueError("a whole number of at least 0, or [least, most], both at least 1")
        return workers

    def to_config(self) -> TrainConfig:
        options = {name: getattr(self, name) for name in type(self).model_fields}
        rates = {key.removeprefix("lr_"): rate for key, rate in self.__pydantic_extra__.items()}
        return TrainConfig(**options, lr_by_phase=rates)


class ModelSection(Section):
    model: dict[str, Any]
    objective: dict[str, Any]
    train: dict[str, Any] = {}
    search_space: dict[str, dict[str, list[Any]]] = {}

    @field_validator("search_space")
    @classmethod
    def _check_search_space(cls, search_space: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
        for key, distribution in search_space.items():
            problem = _distribution_error(distribution)
            if problem:
                raise InputError(f"{key}: got {distribution}, expected {problem}")
        return search_space


class RefitSection(Section):
    seeds: Count = 1


class ResourcesSection(Section):
    """What one trial gets: shares of CPUs and GPUs, or so many Ray Train workers."""

    cpu: Annotated[float, Field(gt=0)] = 1.0
    gpu: Annotated[float, Field(ge=0)] = 0.0
    workers: Annotated[int, Field(ge=0)] = 0


class TuneSection(Section):
    models: list[str] = []
    searcher: Searcher = "random"
    trials: Count = 8
    images_per_trial: Count = 60_000
    time_limit_minutes: Annotated[float, Field(gt=0)] | None = None
    metric: str = "kid"
    second_metric: str = "coverage"
    constraints: dict[str, Annotated[float, Field(ge=0)]] = {}
    finalist_seeds: Count = 3
    resources: ResourcesSection = ResourcesSection()
    refit: RefitSection = RefitSection()


class EvaluateSection(Section):
    samples: Count = 5000
    seed: Seed = 0
    workers: Annotated[int, Field(ge=0)] = 0
    metrics: Annotated[list[str], Field(min_length=1)]


class RaySection(Section):
    storage_path: str = "runs/ray"


class TrackingSection(Section):
    experiment: str | None = None


class Params(Section):
    """All of params.yaml."""

    data: DataSection
    models: Annotated[dict[str, ModelSection], Field(min_length=1)]
    train: TrainSection = Field(default_factory=lambda: TrainSection.model_validate({}))
    tune: TuneSection = TuneSection()
    evaluate: EvaluateSection
    ray: RaySection = RaySection()
    tracking: TrackingSection = TrackingSection()

    @field_validator("models")
    @classmethod
    def _check_model_names(cls, models: dict[str, ModelSection]) -> dict[str, ModelSection]:
        """A model's name is that of its folders."""
        for name in models:
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
                raise InputError(f"{name[:64]}: got {name!r:.80} for a name, expected letters, digits, _ and -")
        return models

    @field_validator("tune")
    @classmethod
    def _check_tuned_models(cls, tune: TuneSection, info: ValidationInfo) -> TuneSection:
        models: dict[str, ModelSection] = info.data.get("models", {})
        searchable = [name for name, section in models.items() if section.search_space]
        for name in tune.models:
            if name not in searchable:
                raise unknown_name("models", name, searchable)
        return tune

    def train_config(self, name: str) -> TrainConfig:
        """The options of one model: the `train` section with the model's own over it."""
        merged = self.train.model_dump() | self.models[name].train
        section: TrainSection = _validate_section(TrainSection, merged, PARAMS, "models", name, "train")
        return section.to_config()

    def with_overrides(self, overrides: Mapping[str, Any]) -> Params:
        """These params with other values at dotted keys, validated again."""
        return parse_params(merge(self.model_dump(), expand_dotted(overrides)))

    def digest(self) -> str:
        """sha256 of the params in canonical form."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def load_params(path: Path = PARAMS) -> Params:
    """Read and validate a params file.

    Raises:
        InputError: it is missing, is not YAML, or a key or value in it is not valid.
    """
    return parse_params(read_yaml(path), path)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        found = parse_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}), expected a YAML file") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: got {type(found).__name__}, expected a mapping of sections")
    return found


def parse_yaml(text: bytes | str, where: str) -> Any:
    """A value in YAML 1.2 (where 1e-3 is a number), restricted to the types of JSON."""
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except Exception as error:  # a scalar of a wrong form fails in as many ways as there are tags
        raise InputError(f"{where}: not valid YAML ({one_line(error)})") from error
    _require_json_types(found, where)
    return found


def _require_json_types(found: Any, where: str) -> None:
    """Refuse dates, sets, bytes, non-finite numbers, keys that are not strings, and cycles."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), found)]
    for keys, value in todo:
        place = ": ".join(filter(None, (where, ".".join(keys))))
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise InputError(f"{place}: got the key {key!r:.80}, expected a word")
            todo += [((*keys, key), each) for key, each in value.items()]
        elif isinstance(value, list):
            todo += [((*keys, str(index)), each) for index, each in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{place}: got {value}, expected a finite number")
        elif not isinstance(value, str | int | float | None):
            raise InputError(f"{place}: got {value!r:.80}, expected words, numbers, true, false and null")
        if len(todo) > MAX_VALUES or len(keys) > MAX_DEPTH:
            raise InputError(f"{where}: got more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, expected fewer")


def parse_params(values: Mapping[str, Any], path: Path = PARAMS) -> Params:
    """Validate the content of a params file; `path` is named in errors."""
    require_current_names(values, str(path))
    params: Params = _validate_section(Params, values, path)
    for name in params.models:
        params.train_config(name)
    return params


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `overrides`, merged section by section; lists, values and `search_space` are replaced whole.

    A null removes a section, where there is one: `models.gan: null` leaves the model out, `tune.constraints: null`
    leaves the constraints at their default.
    """
    merged = dict(copy.deepcopy(base))
    for key, value in overrides.items():
        here = merged.get(key)
        if value is None and (key not in merged or isinstance(here, Mapping)):
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(here, Mapping) and key != "search_space":
            merged[key] = merge(here, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def expand_dotted(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}; what comes later replaces what it contradicts."""
    result: dict[str, Any] = {}
    for key, value in dotted.items():
        *parents, last = key.split(".")
        place = result
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        place[last] = value
    return result


def flatten_dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}, the inverse of `expand_dotted`."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        is_inner = isinstance(value, Mapping) and value
        result |= flatten_dotted(value, f"{prefix}{key}.") if is_inner else {prefix + key: value}
    return result


def _validate_section(section: type[Any], values: Mapping[str, Any], path: Path, *keys: str) -> Any:
    """`values` as `section`, which lies at `keys` in the file `path`."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise _first_error(section, error, path, keys) from None


def _first_error(section: type[BaseModel], error: ValidationError, path: Path, parents: tuple[str, ...]) -> InputError:
    """The first problem that pydantic found, in our own one line, and how many more there are."""
    problems = error.errors(include_url=False)
    problem = problems[0]
    keys = [str(key) for key in problem["loc"]]
    place = f"{path}: {'.'.join([*parents, *keys])}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return InputError(f"{place}.{cause}{more}")
    if problem["type"] == "extra_forbidden":
        return InputError(
            f"{unknown_name(f'{place}: unknown key', keys[-1], _expected_keys(section, keys[:-1]))}{more}"
        )
    if problem["type"] == "missing":
        return InputError(f"{place}: missing, expected a value for this key{more}")
    expected = str(problem["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return InputError(f"{place}: got {problem['input']!r:.80}, expected {expected}{more}")


def _expected_keys(section: type[BaseModel], keys: list[str]) -> list[str]:
    """The keys of the section that lies at `keys` below `section`."""
    for key in keys:
        inner = section.model_fields.get(key)
        if inner is None:
            continue
        found = [t for t in _nested_types(inner.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
        section = found[0] if found else section
    return list(section.model_fields)


def _nested_types(hint: Any) -> list[Any]:
    return [hint, *(inner for argument in get_args(hint) for inner in _nested_types(argument))]


def _distribution_error(distribution: Mapping[str, list[Any]]) -> str | None:
    """What is wrong with one entry of a search space, in words; None where nothing is."""
    if len(distribution) != 1:
        return "one of uniform, loguniform, int, choice with its list"
    [(kind, values)] = distribution.items()
    if kind == "choice":
        return None if values else "choice: a list of one or more values"
    if kind not in ("uniform", "loguniform", "int"):
        return "uniform: [low, high], loguniform: [low, high], int: [low, high] or choice: [...]"
    number = int if kind == "int" else (int, float)
    if len(values) != 2 or not all(isinstance(v, number) and not isinstance(v, bool) for v in values):
        return f"{kind}: [low, high], two numbers"
    if not values[0] < values[1] or (kind == "loguniform" and values[0] <= 0):
        return f"{kind}: [low, high] with low < high" + (" and low > 0" if kind == "loguniform" else "")
    return None
