"""params.yaml -> typed, validated settings; errors name the path of the key and the expected values.

Only this file uses pydantic. Nothing here imports torch, so that a wrong key is found at once.
"""

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from genlib.data.config import DataConfig, DomainBConfig, parse_root
from genlib.data.resizing import Resize
from genlib.errors import InputError, Refusals, one_line, unknown_name
from genlib.files import json_sha256
from genlib.metrics.aliases import canonical_keys, canonical_name, canonical_names, require_own_features
from genlib.migration import require_current_names
from genlib.training.config import TrainConfig

PARAMS = Path("params.yaml")
MAX_VALUES, MAX_DEPTH = 100_000, 30  # values in a file, and levels of them
IMAGE_SIZES = 8, 512  # the smallest and the largest side
MAX_SEEDS = 100  # of one model
Count = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
MetricName = Annotated[str, AfterValidator(require_own_features), AfterValidator(canonical_name)]
Searcher = Literal["random", "random_no_pruning", "tpe", "multi_objective", "pbt", "pb2"]


class Section(BaseModel):
    """A section of params.yaml: exactly these keys, exactly these types."""

    model_config = ConfigDict(strict=True, frozen=True)
    prefixes: ClassVar[tuple[str, ...]] = ()  # of further keys, one for each phase of training

    @pydantic.model_validator(mode="before")
    @classmethod
    def _check_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, Mapping) else ():
            if key not in cls.model_fields and not key.startswith(cls.prefixes):
                expected = [*cls.model_fields, *(f"{prefix}<phase>" for prefix in cls.prefixes)]
                raise unknown_name(f"{key}: unknown key", key, expected)
        return values


class DomainBSection(Section):
    name: str
    root: str | None = None
    seed: Seed | None = None


class DataSection(Section):
    name: str
    root: str = "data/raw"
    download: bool = False
    split: Literal["official", "pooled"] = "pooled"
    seed: Seed = 0
    image_size: int | Literal["auto"] | None = None
    resize: Resize = "crop"
    workers: Annotated[int, Field(ge=0)] | None = None  # that decode images; None: all processors
    valid: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    test: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    domain_b: DomainBSection | None = None

    @pydantic.field_validator("image_size", mode="before")
    @classmethod
    def _check_image_size(cls, size: Any) -> Any:
        least, most = IMAGE_SIZES
        if size not in ("auto", None) and not (type(size) is int and least <= size <= most):
            raise ValueError(f"a whole number from {least} to {most}, auto, or null for the size that the images have")
        return size

    def to_config(self) -> DataConfig:
        domain_b = None
        if own := self.domain_b:
            root = parse_root(own.root, "data.domain_b.root") if own.root else None
            domain_b = DomainBConfig(own.name, root, own.seed)
        options = self.model_dump(exclude={"workers"}) | {"root": parse_root(self.root), "domain_b": domain_b}
        return DataConfig(**options)


_TRAIN_TYPES = get_type_hints(TrainConfig)
_train_fields: Any = {
    each.name: (_TRAIN_TYPES[each.name], Field(each.default, **each.metadata))
    for each in fields(TrainConfig)
    if each.name != "lr_by_phase"
}
_TrainFields: Any = pydantic.create_model("TrainSection", __base__=Section, **_train_fields)


class TrainSection(_TrainFields):  # type: ignore[misc]
    """The options of `TrainConfig` for every model; `lr_<phase>` sets the rate of one phase (`lr_g`, `lr_d`).
    `seeds`: how often to train it, from `seed` on."""

    seeds: Annotated[int, Field(ge=1, le=MAX_SEEDS)] = 1
    model_config = ConfigDict(extra="allow")
    prefixes = ("lr_",)
    __pydantic_extra__: dict[str, Annotated[float, Field(gt=0)]]

    @pydantic.field_validator("workers", mode="before")
    @classmethod
    def _check_workers(cls, workers: Any) -> Any:
        ends = workers if isinstance(workers, list) and len(workers) == 2 else [workers, workers]
        least = 1 if isinstance(workers, list) else 0
        if not all(type(end) is int for end in ends) or not least <= ends[0] <= ends[1]:
            raise ValueError("a whole number of at least 0, or [least, most], both at least 1")
        return workers

    def to_config(self) -> TrainConfig:
        options = {each.name: getattr(self, each.name) for each in fields(TrainConfig) if each.name != "lr_by_phase"}
        rates = {key.removeprefix("lr_"): rate for key, rate in self.__pydantic_extra__.items()}
        return TrainConfig(**options, lr_by_phase=rates)


class ModelSection(Section):
    model: dict[str, Any]
    objective: dict[str, Any]
    train: dict[str, Any] = {}
    search_space: dict[str, dict[str, list[Any]]] = {}

    @pydantic.field_validator("search_space")
    @classmethod
    def _check_search_space(cls, search_space: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
        for key, distribution in search_space.items():
            if problem := _distribution_error(distribution):
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
    metric: MetricName = "kid"
    second_metric: MetricName = "coverage"
    constraints: Annotated[
        dict[str, Annotated[float, Field(ge=0)]], AfterValidator(require_own_features), AfterValidator(canonical_keys)
    ] = {}
    finalist_seeds: Count = 3
    resources: ResourcesSection = ResourcesSection()
    refit: RefitSection = RefitSection()


class EvaluateSection(Section):
    samples: Count = 5000
    seed: Seed = 0
    workers: Annotated[int, Field(ge=0)] = 0
    metrics: Annotated[
        list[str], Field(min_length=1), AfterValidator(require_own_features), AfterValidator(canonical_names)
    ]


class RaySection(Section):
    storage_path: str = "runs/ray"


class TrackingSection(Section):
    experiment: str | None = None


class Params(Section):
    data: DataSection
    models: Annotated[dict[str, ModelSection], Field(min_length=1)]
    train: TrainSection = Field(default_factory=lambda: TrainSection.model_validate({}))
    tune: TuneSection = TuneSection()
    evaluate: EvaluateSection
    ray: RaySection = RaySection()
    tracking: TrackingSection = TrackingSection()

    @pydantic.field_validator("models")
    @classmethod
    def _check_model_names(cls, models: dict[str, ModelSection]) -> dict[str, ModelSection]:
        """A model's name is that of its folders."""
        for name in models:
            if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
                raise InputError(f"{name[:64]}: got {name!r:.80} for a name, expected letters, digits, _ and -")
        return models

    @pydantic.field_validator("tune")
    @classmethod
    def _check_tuned_models(cls, tune: TuneSection, info: pydantic.ValidationInfo) -> TuneSection:
        models: dict[str, ModelSection] | None = info.data.get("models")
        if models is None:  # which has an error of its own
            return tune
        searchable = [name for name, section in models.items() if section.search_space]
        for name in tune.models:
            if name not in searchable:
                raise unknown_name("models", name, searchable)
        return tune

    def train_config(self, name: str) -> TrainConfig:
        """The options of one model: the `train` section with the model's own over it."""
        return self._train_section(name).to_config()

    def train_seeds(self, name: str) -> range:
        """The seeds that one model is trained with: `train.seeds` of them, from `train.seed` on."""
        section = self._train_section(name)
        return range(section.seed, section.seed + section.seeds)

    def _train_section(self, name: str) -> TrainSection:
        merged = self.train.model_dump() | self.models[name].train
        section: TrainSection = _validate_section(TrainSection, merged, PARAMS, "models", name, "train")
        return section

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Params":
        """These params with other values at dotted keys, validated again."""
        return parse_params(merge(self.model_dump(), expand_dotted(overrides)))

    def digest(self) -> str:
        return json_sha256(self.model_dump())


def load_params(path: Path = PARAMS) -> Params:
    """Read and validate a params file; raises InputError for the first key or value that is not valid."""
    return parse_params(read_yaml(path), path)


def read_yaml(path: Path) -> dict[str, Any]:
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
        yaml = YAML(typ="safe", pure=True)
        yaml.Constructor = _BoundedConstructor
        found = yaml.load(text)
    except Exception as error:  # a scalar of a wrong form fails in as many ways as there are tags
        raise InputError(f"{where}: not valid YAML ({one_line(error)})") from error
    _require_json_types(found, where)
    return found


class _BoundedConstructor(SafeConstructor):
    """Merge keys (`<<: [*a, *a]`) of merge keys multiply what a few lines hold."""

    num_values = 0

    def flatten_mapping(self, node: Any) -> None:
        super().flatten_mapping(node)
        self.num_values += len(node.value)
        if self.num_values > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values by merge keys")


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
    require_current_names(values, str(path))
    params: Params = _validate_section(Params, values, path)
    for name in params.models:
        params.train_config(name)
    return params


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `overrides`, merged section by section; lists, values and `search_space` are replaced whole. A null
    removes a section: `models.gan: null` leaves the model out, `tune.constraints: null` keeps none."""
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
            inner = place.get(parent)
            place[parent] = place = inner if isinstance(inner, dict) else {}
        place[last] = value
    return result


def flatten_dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}, the inverse of `expand_dotted`."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        is_inner = isinstance(value, Mapping) and value
        result |= flatten_dotted(value, f"{prefix}{key}.") if is_inner else {prefix + key: value}
    return result


def _validate_section(section: type[Any], values: Mapping[str, Any], path: Path, *parents: str) -> Any:
    """`values` as `section`, which lies at `parents` in the file `path`; all problems at once, each as one line."""
    try:
        return section.model_validate(values)
    except pydantic.ValidationError as error:
        Refusals(_explain_problem(each, path, parents) for each in error.errors(include_url=False)).raise_all()


def _explain_problem(problem: Any, path: Path, parents: Sequence[str]) -> InputError:
    keys = [*parents, *map(str, problem["loc"])]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return InputError(f"{path}: {'.'.join([*keys, str(cause)])}")
    expected = str(problem["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    found = f"got {problem['input']!r:.80}, expected {expected}"
    if problem["type"] == "missing":
        found = "missing, expected a value for this key"
    return InputError(f"{path}: {'.'.join(keys)}: {found}")


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
