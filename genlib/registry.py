"""The file name is the registry: {"name": x, **options} -> genlib.<package>.x.Build(**options). Adding a model or an
objective is adding its file; nothing here lists them."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from genlib.errors import InputError, one_line, unknown_name
from genlib.files import file_sha256, read_checked_json
from genlib.migration import upgrade_config

MAX_INT_OPTION = 2**31  # below which an option that is a whole number stays
UNIONS = (Union, UnionType)  # the origins of `int | Literal[...]` and of `int | None`


def list_available(package: str) -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / package).glob("[!_]*.py"))


def build(package: Literal["models", "objectives"], config: Mapping[str, Any], *data_spec: Any, where: str = "") -> Any:
    """Build what `config` names, after checking its options against the signature of the builder. `data_spec`: what the
    data say (a model's shape and number of classes); `where`: the path of `config` in params.yaml. Raises InputError
    for an unknown name or option, a wrong type, or a value that the builder refuses."""
    where = where or package
    options = dict(config)
    name = options.pop("name", None)
    builder = _get_builder(package, name, where)
    _check_options(builder, options, where)
    try:
        return builder(*data_spec, **options)
    except (ValueError, RuntimeError) as error:  # RuntimeError: a size that torch cannot count
        raise InputError(f"{where}: {one_line(error)}") from error


def default_options(package: Literal["models", "objectives"], name: str) -> dict[str, Any]:
    return {key: parameter.default for key, parameter in _keyword_parameters(_get_builder(package, name)).items()}


def resolve_options(config: Mapping[str, Any], train_images: Callable[[], Any]) -> dict[str, Any]:
    """All options of a model, defaults too. A model with options that the data decide has a hook of this name."""
    options = {**default_options("models", config["name"]), **config}
    hook = getattr(_get_builder("models", config["name"]), "resolve_options", None)
    return hook(options, train_images) if hook else options


def _get_builder(package: str, name: str, where: str = "") -> Any:
    if name not in list_available(package):
        raise unknown_name(f"{where or package}.name", name, list_available(package))
    return importlib.import_module(f"genlib.{package}.{name}").Build


def _keyword_parameters(builder: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(builder).parameters
    return {key: parameter for key, parameter in found.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY}


def _check_options(builder: Any, options: Mapping[str, Any], where: str) -> None:
    hints = get_type_hints(builder.__init__ if inspect.isclass(builder) else builder)
    expected = _keyword_parameters(builder)
    for key, value in options.items():
        if key not in expected:
            raise unknown_name(f"{where}.{key}: unknown key", key, expected)
        if not _matches_type(value, hints[key]):
            raise InputError(f"{where}.{key}: got {value!r}, expected {_describe_type(hints[key])}")


def _matches_type(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in UNIONS:
        return any(_matches_type(value, each) for each in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_INT_OPTION
    return isinstance(value, hint)


def _describe_type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in UNIONS:
        return " or ".join(map(_describe_type, get_args(hint)))
    words = {int: f"a whole number below {MAX_INT_OPTION:,}", float: "a number", bool: "true or false", str: "a word"}
    words[NoneType] = "null"
    return words.get(hint, str(hint))


def read_model_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a model folder, with the current names of options where 0.1 wrote it."""
    path, expected = folder / "config.json", "expected one that a train stage wrote"
    if not path.is_file():
        raise InputError(f"{folder}: not a model folder (got no {path}), {expected}")
    return upgrade_config(read_checked_json(path, expected))


def load(folder: str | Path) -> nn.Module:
    """The trained model that lies in `folder`: EMA weights, in eval mode, on the CPU; nothing is unpickled. Raises
    InputError where a file is missing, was changed since it was written, or does not fit the other."""
    folder = Path(folder)
    path, expected = folder / "model.safetensors", "expected one that a train stage wrote"
    config = read_model_config(folder)
    try:
        digest = file_sha256(path)
        if config.get("model_sha256", digest) != digest:
            raise InputError(f"{path}: got other weights than config.json says, {expected}")
        data_spec, where = (tuple(config["shape"]), config["classes"]), str(folder / "config.json")
        model: nn.Module = build("models", config["model"], *data_spec, where=where)
        model.load_state_dict(load_file(path))
    except InputError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: not a model folder ({one_line(error)}), {expected}") from error
    return model.eval()
