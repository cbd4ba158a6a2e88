"""genlib: reproducible, distributed experiments on generative image models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genlib.build import load as load

__all__ = ["load"]


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `import genlib` costs nothing."""
    if name in __all__:
        from genlib import build

        return getattr(build, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
