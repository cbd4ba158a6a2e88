"""Names that people type for metrics, and ours."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from genlib.errors import InputError

T = TypeVar("T")
Names = TypeVar("Names", bound=Iterable[str])
ALIASES: dict[str, tuple[str, ...]] = {
    "fid": ("frechet",),
    "fd_dinov2": ("frechet",),
    "is": ("inception_score",),
    "prdc": ("precision", "recall", "density", "coverage"),
    "authpct": ("authenticity",),
    "ct": ("copying",),
}
EXTRACTORS = {"fd_dinov2": "dinov2"}  # that an alias implies


def canonical_name(name: str) -> str:
    """Of one metric; an alias of several stays, and is refused where one is expected."""
    named = ALIASES.get(name, (name,))
    return named[0] if len(named) == 1 else name


def canonical_names(names: Iterable[str]) -> list[str]:
    """Each name once, aliases as the metrics that they stand for; what is no alias stays."""
    return list(dict.fromkeys(name for given in names for name in ALIASES.get(given, (given,))))


def canonical_keys(values: Mapping[str, T]) -> dict[str, T]:
    return {name: value for given, value in values.items() for name in ALIASES.get(given, (given,))}


def require_own_features(names: Names) -> Names:
    """`names`, one or several, as they are. Raises InputError for an alias that implies another network."""
    for name in [names] if isinstance(names, str) else names:
        if name in EXTRACTORS:
            found = f"{name}, a metric in features of {EXTRACTORS[name]}"
            raise InputError(f"got {found}, expected {', '.join(ALIASES[name])}: features are the classifier's here")
    return names


def describe_aliases(names: Iterable[str]) -> list[str]:
    """A line for each alias among `names`."""
    return [f"{name} is {', '.join(ALIASES[name])}" for name in dict.fromkeys(names) if name in ALIASES]
