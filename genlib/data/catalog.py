"""Find data sets by name, without reading them and without torch."""

import inspect
from dataclasses import replace
from pathlib import Path

from genlib.data import sources
from genlib.data.config import DataConfig
from genlib.data.sources import Source
from genlib.errors import InputError, one_line, unknown_name


def find_domains(config: DataConfig) -> list[tuple[Source, DataConfig]]:
    """The named data set and, where there is one, that of the second domain, each with the config to read it by."""
    first, second = (find_source(config), config), config.for_domain_b()
    if second is None:
        return [first]
    if second.split == "official" and _resolve_source(second).test is None:
        second = replace(second, split="pooled")
    domain_b = (find_source(second), second)
    config.require_same_channels([first[0].channels, domain_b[0].channels])
    return [first, domain_b]


def find_source(config: DataConfig) -> Source:
    """The named data set; raises InputError where the section is wrong, or files are missing or of another form."""
    source = _resolve_source(config)
    if config.split == "official" and source.test is None:
        raise InputError(f"data.split: got official, but {config.name} has no test set of its own, expected pooled")
    return source


def _resolve_source(config: DataConfig) -> Source:
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
        raise InputError(f"{config.key}.root: got {found}, expected a folder") from error
