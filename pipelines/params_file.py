"""Presets and single values, and how params.yaml is changed in place."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlib.errors import InputError, unknown_name
from genlib.files import write_text
from genlib.params import PARAMS, expand_dotted, flatten_dotted, merge, parse_yaml, read_yaml

PRESETS = Path("presets")
FULL_PARTS = ("model", "objective")


def load_preset(name: str | None) -> dict[str, Any]:
    if not name:
        return {}
    presets = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in presets:
        raise unknown_name("PRESET", name, presets)
    return read_yaml(PRESETS / f"{name}.yaml")


def lay_params(values: Mapping[str, Any], preset: Mapping[str, Any], assigned: Mapping[str, Any]) -> dict[str, Any]:
    """The content of params.yaml with a preset over it, and single values over both."""
    return merge(lay_preset(values, preset), assigned)


def lay_preset(values: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with a preset over them. A model that the preset gives in full, with the names of its model and of its
    objective, leaves nothing of an entry that was there."""
    models = preset.get("models", {})
    full = [name for name in models if all(f"{name}.{part}.name" in flatten_dotted(models) for part in FULL_PARTS)]
    return merge(merge(values, {"models": dict.fromkeys(full)}), preset)


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """["train.seed=1"] -> {"train": {"seed": 1}}; values are YAML."""
    pairs = [assignment.partition("=") for assignment in assignments]
    for key, sign, _ in pairs:
        if not (key and sign):
            raise InputError(f"SET: got {key!r}, expected key=value with a dotted key of params.yaml")
    return expand_dotted({key: parse_yaml(value, f"SET: {key}") for key, _, value in pairs})


def update_params_file(values: Mapping[str, Any]) -> None:
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


def _update_document(document: Any, values: Mapping[str, Any]) -> None:
    """Set `values` in `document`, in their order; equal ones keep their form and comments."""
    for key in [key for key in document if key not in values]:
        del document[key]
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping):
            _update_document(document[key], value)
        elif key not in document or document[key] != value:
            document[key] = value
    if [*document] != [*values]:
        for key in values:
            document.move_to_end(key)
