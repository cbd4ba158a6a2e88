"""The file name is the registry: {"name": x, **options} -> genlib.<room>.x.Build(**options).

Adding a model or an objective is adding its file; nothing here lists them. What several of a room share lies in its
`parts`.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from genlib.errors import InputError, unknown


def available(room: str) -> list[str]:
    """Names that `build(room, ...)` knows: the files of the room."""
    folder = Path(__file__).parent / room
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def build(room: Literal["models", "objectives"], config: Mapping[str, Any], *facts: Any, where: str = "") -> Any:
    """Build what `config` names, after checking its options against the signature of the builder.

    `facts` are what the data say (a model's shape and number of classes); `where` is the path of `config` in
    params.yaml.

    Raises:
        InputError: unknown name or option, wrong type, or a value that the builder refuses.
    """
    where = where or room
    options = dict(config)
    name = options.pop("name", None)
    if name not in available(room):
        raise unknown(f"{where}.name", name, available(room))
    builder = _builder(room, name)
    _check_options(builder, options, where)
    try:
        return builder(*facts, **options)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def defaults(room: Literal["models", "objectives"], name: str) -> dict[str, Any]:
    """The options of the builder `name` and their default values."""
    return {key: parameter.default for key, parameter in _options(_builder(room, name)).items()}


def _builder(room: str, name: str) -> Any:
    return importlib.import_module(f"genlib.{room}.{name}").Build


def _options(builder: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(builder).parameters
    return {key: parameter for key, parameter in found.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY}


def _check_options(builder: Any, options: Mapping[str, Any], where: str) -> None:
    hints = get_type_hints(builder.__init__ if inspect.isclass(builder) else builder)
    legal = _options(builder)
    for key, value in options.items():
        if key not in legal:
            raise unknown(f"{where}.{key}: unknown key", key, legal)
        if not _fits(value, hints[key]):
            raise InputError(f"{where}.{key}: found {value!r}, legal: {_spell(hints[key])}")


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _spell(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}.get(hint, str(hint))


def load(folder: str | Path) -> nn.Module:
    """The trained model that lies in `folder`: EMA weights, in eval mode, on the CPU.

    Reads `config.json` and `model.safetensors`; nothing is unpickled.

    Raises:
        InputError: a file is missing or does not fit the other.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
        facts = tuple(config["shape"]), config["classes"]
        model = build("models", config["model"], *facts, where=f"{folder}/config.json")
        model.load_state_dict(weights)
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: not a model folder ({reason}), legal: one that a train stage wrote") from error
    assert isinstance(model, nn.Module)
    return model.eval()
