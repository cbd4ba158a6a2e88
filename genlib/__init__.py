"""genlib: reproducible, distributed experiments on generative image models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genlib.build import load as load
    from genlib.judge_images import evaluate as evaluate

HOMES = {"load": "build", "evaluate": "judge_images"}
__all__ = ["evaluate", "load"]


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `import genlib` costs nothing."""
    if name in HOMES:
        from importlib import import_module

        return getattr(import_module(f"genlib.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
