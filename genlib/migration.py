"""Names of genlib 0.1: refused in params.yaml with the new one, mapped in the `config.json` of a model folder."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from genlib.errors import InputError

# Keys without a section's name before them are those of an entry of `models`, and of its search space.
RENAMED_KEYS = {
    "data.other": "data.domain_b",
    "tune.limits": "tune.constraints",
    "tune.diversity": "tune.second_metric",
    "tune.images": "tune.images_per_trial",
    "tune.minutes": "tune.time_limit_minutes",
    "tune.repeats": "tune.finalist_seeds",
    "cluster.storage": "ray.storage_path",
    "search": "search_space",
    "train.images": "train.total_images",
    "train.hold": "train.decay_start",
    "train.warmup": "train.warmup_fraction",
    "model.observation": "model.pixel_likelihood",
    "objective.d_turns": "objective.d_steps_per_g_step",
    "objective.noise_until": "objective.noise_anneal_images",
    "objective.penalty_every": "objective.lazy_reg_interval",
}
RENAMED_VALUES = {
    "tune.searcher": {"random_full": "random_no_pruning", "pareto": "multi_objective"},
    "model.name": {"classifier": "cnn_classifier", "scorer": "resnet_classifier", "burda": "iwae"},
    "model.pixel_likelihood": {"bernoulli": "binarized", "intensity": "gray_bce"},
    "objective.name": {"own": "model_loss", "importance": "iwae"},
}
# Folders of before hold the options that were given, so what these defaults were then.
_GROWTH = {"max_channel_mult": 4}
_PIXELS = {"pixel_likelihood": "gray_bce", "variance": "pixel"}
FORMER_DEFAULTS: dict[str, dict[str, Any]] = {
    "vae": _PIXELS | _GROWTH,
    "cvae": _PIXELS | _GROWTH,
    "iwae": {"pixel_likelihood": "binarized"},
    "autoencoder": _GROWTH,
    "gan": _GROWTH,
    "cgan": _GROWTH,
    "dcgan": _GROWTH,
    "cyclegan": {"blocks": 2},
}
_CONFIG_KEYS = RENAMED_KEYS | {"train.lr_by_turn": "train.lr_by_phase"}
_ENTRY = re.compile(r"(models\.[^.]*\.(?:search_space\.)?)?(.*)", re.DOTALL)


def require_current_names(values: Mapping[str, Any], where: str) -> None:
    """Refuse old keys and values in the content of a params file, with the new ones; `where` names the file."""
    for key, value in _iterate_keys(values):
        entry, option = _ENTRY.fullmatch(key).groups("")  # type: ignore[union-attr]
        new = RENAMED_KEYS.get(option, option) if "." in key else option
        new_value = RENAMED_VALUES.get(new, {}).get(value) if isinstance(value, str) else None
        if new != option:
            expected = f"{entry}{new}: {new_value}" if new_value else f"{entry}{new}"
            raise InputError(f"{where}: {key}: got an old key, expected {expected}")
        if new_value:
            raise InputError(f"{where}: {key}: got the old name {value!r}, expected {new_value}")


def upgrade_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `config.json` in the words and with the defaults of today."""
    upgraded = dict(config)
    for section in ("model", "objective", "train"):
        if isinstance(options := config.get(section), dict):
            upgraded[section] = dict(_upgrade_option(section, key, value) for key, value in options.items())
    if isinstance(model := upgraded.get("model"), dict):
        upgraded["model"] = {**FORMER_DEFAULTS.get(str(model.get("name")), {}), **model}
    return upgraded


def _upgrade_option(section: str, key: str, value: Any) -> tuple[str, Any]:
    new = _CONFIG_KEYS.get(f"{section}.{key}", f"{section}.{key}")
    renamed = RENAMED_VALUES.get(new, {}).get(value, value) if isinstance(value, str) else value
    return new.removeprefix(f"{section}."), renamed


def _iterate_keys(values: Mapping[str, Any], parents: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        yield f"{parents}{key}", value
        if isinstance(value, Mapping):
            yield from _iterate_keys(value, f"{parents}{key}.")
