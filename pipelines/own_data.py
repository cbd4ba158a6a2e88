"""`make repro DATA=path`: a folder of images, or a URL of one, whatever is in it, laid over params.yaml.

Laid are, each over the ones before: the small preset that fits the images, in full; PRESET; the place of the images;
SET. So the params of one data set leave nothing to those of the next.
"""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from genlib.data.catalog import find_source
from genlib.data.config import DataConfig, parse_root
from genlib.errors import InputError, one_line
from genlib.params import expand_dotted, merge, parse_params
from pipelines.budgets import describe_budgets, describe_shrunk, scale_budgets, shrink_counts
from pipelines.model_checks import DataSpec, group_starved_models
from pipelines.params_file import lay_preset, load_preset

COLOR_PRESET, GRAY_PRESET = "photos64-small", "gray32-small"
MAX_GRAY_SIDE = 32  # pixels: larger grey images are taken for photographs, smaller ones for characters and the like
DATA_DEFAULTS = {"download": False, "split": "pooled", "seed": 0, "valid": None, "test": None, "domain_b": None}


@dataclass(frozen=True)
class OwnData:
    """What was found at DATA: `location`, the keys of the section `data` that name the images; the small `preset` that
    fits them; `notes` to print. `refusal`: why the images cannot be read."""

    location: Mapping[str, Any]
    preset: str = COLOR_PRESET
    notes: tuple[str, ...] = ()
    refusal: InputError | None = None

    @classmethod
    def find(cls, root: str) -> Self:
        if root != os.fsencode(root).decode(errors="replace"):
            raise InputError(f"DATA: got {root}, expected a path in UTF-8, for params.yaml; rename the folder")
        if root.startswith("~"):  # which not every shell expands after DATA=
            root = str(Path(root).expanduser())
        location: dict[str, Any] = {"name": "folder", "root": root, "domain_b": None}
        try:
            place = parse_root(root, "DATA")
            location |= _find_layout(place)
            return cls._look(location, DataConfig(location["name"], place, image_size="auto"))
        except InputError as error:
            return cls(location, refusal=error)

    @classmethod
    def _look(cls, location: dict[str, Any], config: DataConfig) -> Self:
        first, notes = find_source(config), []
        if location["domain_b"]:
            second = find_source(replace(config, name="folder_b", domain_b=None))
            if first.channels != second.channels:
                location["domain_b"] = None
                notes.append(f"left out: trainB (its images have {second.channels} channels, not {first.channels})")
        location["split"] = "official" if first.test else "pooled"
        side = min(first.size or (MAX_GRAY_SIDE,))
        is_small_gray = first.channels == 1 and side <= MAX_GRAY_SIDE
        return cls(location, GRAY_PRESET if is_small_gray else COLOR_PRESET, tuple(notes))

    def lay(self, values: Mapping[str, Any], preset: Mapping[str, Any], assigned: Mapping[str, Any]) -> dict[str, Any]:
        """`values` of params.yaml with all that is laid over them."""
        base = lay_preset(merge(values, {"data": DATA_DEFAULTS}), load_preset(self.preset))
        return merge(merge(lay_preset(base, preset), {"data": self.location}), assigned)


def fit_to_data(
    values: Mapping[str, Any],
    unchanged: Mapping[str, Any],
    data_spec: DataSpec,
    preset: Mapping[str, Any],
    assigned: Mapping[str, Any],
) -> tuple[dict[str, Any], list[str]]:
    """`values` without the models that such data cannot feed and with counts of images for it, and lines that say so.
    `unchanged`: the values without PRESET and SET, of which the counts are scaled, so that what those enlarge takes
    longer and costs the other models nothing; `preset` and `assigned`: by dotted key what they set. Counts of a preset
    that names no size of images are for small ones, and fewer for large ones."""
    params = parse_params(values)
    groups = group_starved_models(params, data_spec)
    notes = [f"left out: {', '.join(names)} ({reason})" for reason, names in groups.items()]
    kept = [name for name in params.models if not any(name in names for names in groups.values())]
    fed = _keep_models(values, kept)
    with suppress(InputError):  # of a model that cannot be built: the check, which comes after, says so
        budgets = scale_budgets(parse_params(_keep_models(unchanged, kept)), data_spec, {**preset, **assigned})
        own_counts = {key: count for key, count in preset.items() if key not in assigned and _is_kept(key, kept)}
        is_for_small = "data.image_size" not in preset
        shrunk = shrink_counts(parse_params(fed), data_spec, own_counts) if is_for_small else {}
        notes += describe_budgets(budgets) + describe_shrunk(shrunk)
        fed = merge(fed, expand_dotted(budgets | shrunk))
    return fed, notes


def _is_kept(key: str, kept: Collection[str]) -> bool:
    """Whether the dotted key is of no model, or of one that is kept."""
    section, _, rest = key.partition(".")
    return section != "models" or rest.partition(".")[0] in kept


def _keep_models(values: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    models = {name: section for name, section in values["models"].items() if name in kept}
    tune = values.get("tune", {})
    return {**values, "models": models, "tune": {**tune, "models": [n for n in tune.get("models", []) if n in kept]}}


def _find_layout(place: Path) -> dict[str, Any]:
    """The source that reads what is at `place`, and the second domain where there is one."""
    try:
        if any(_has_parquet_files(each) for each in (place, place / "data")):
            return {"name": "parquet"}
        if all((place / name).is_dir() for name in ("trainA", "trainB")):
            return {"name": "folder_a", "domain_b": {"name": "folder_b"}}
    except Exception as error:  # each store behind a URL has its own
        raise InputError(f"DATA: got {place} out of reach ({one_line(error)}), expected a folder of images") from error
    return {"name": "folder"}


def _has_parquet_files(place: Path) -> bool:
    return place.is_dir() and any(path.suffix == ".parquet" for path in place.iterdir())
