"""Find data sets by name, without reading them and without torch."""

import inspect
from dataclasses import replace
from pathlib import Path

from genlib.data import sources
from genlib.data.config import DataConfig
from genlib.data.sources import Source
from genlib.errors import InputError, MissingDataError, one_line, unknown_name


def find_domains(config: DataConfig) -> list[tuple[Source, DataConfig]]:
    """The named data set and, where there is one, that of the second domain, each with the config to read it by. In it
    "auto" has become the `image_size` of the first domain."""
    source = find_source(config)
    resolved = config.with_image_size_for(source.size)
    if config.image_size == "auto" and source.size:
        height, width = source.size
        note = f"image_size: auto is {resolved.image_size}, since the median image has {width}x{height} pixels"
        source = replace(source, notes=(*source.notes, note))
    domains = [(source, resolved)]
    if (second := resolved.for_domain_b()) is not None:
        if second.split == "official" and resolve_source(second).test is None:
            second = replace(second, split="pooled")
        domains.append((find_source(second), second))
        config.require_same_channels([each.channels for each, _ in domains])
    for each, its_config in domains:
        if each.num_images is not None:
            its_config.require_enough(each.num_images)
    return domains


def find_source(config: DataConfig) -> Source:
    """The named data set; raises InputError where the section is wrong, or files are missing or of another form."""
    source = resolve_source(config).look()
    if config.split == "official" and source.test is None:
        raise InputError(f"data.split: got official, but {config.name} has no test set of its own, expected pooled")
    return source


def resolve_source(config: DataConfig) -> Source:
    """The named data set, listed but not looked at."""
    config.validate()
    functions = inspect.getmembers(sources, lambda f: inspect.isfunction(f) and f.__module__ == sources.__name__)
    registry = {name: function for name, function in functions if not name.startswith("_")}
    if config.name not in registry:
        raise unknown_name(f"{config.key}.name", config.name, registry)
    try:
        source: Source = registry[config.name](config)
        return source
    except Exception as error:  # each store behind a URL has its own
        if isinstance(error, InputError) or (isinstance(config.root, Path) and not isinstance(error, OSError)):
            raise
        found = f"{config.root} out of reach ({one_line(error)})"
        raise MissingDataError(f"{config.key}.root: got {found}, expected a folder") from error
