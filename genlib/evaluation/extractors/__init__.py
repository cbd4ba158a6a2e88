"""Feature extractors, a file each: images [n, C, H, W] in [-1, 1] -> features [n, d] and logits [n, K].

`pca` and a classifier's folder come from the data at hand; the others were trained elsewhere, and their weights lie in
local files. To add one called `x`, write x.py here with a function `load(argument) -> NamedExtractor`, where `argument`
is what follows the colon in `--extractor x:ARGUMENT`, and a module docstring whose first line says what it is.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.errors import InputError, unknown_name

if TYPE_CHECKING:
    from torch import nn

    from genlib.data.images import AnyImages
    from genlib.evaluation.extractors.named import NamedExtractor

    Spec = str | nn.Module | NamedExtractor | None

DEFAULT_NOTE = "No extractor given: principal components of pixels."


@cache
def discover_extractors() -> dict[str, str]:
    """The name of each extractor with a `load` -> the first line of its docstring."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "load" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def load_extractor(spec: str) -> NamedExtractor | None:
    """The extractor of "x:ARGUMENT", of a classifier's folder or, by "NAME:FILE", of torchvision's NAME; None for
    "pca", which is fitted to images. Raises InputError where there is none such, or its weights are not there."""
    if spec == "pca":
        return None
    if Path(spec).is_dir():
        from genlib.evaluation.extractors.classifier import load_classifier

        return load_classifier(Path(spec))
    name, colon, argument = spec.partition(":")
    if name not in discover_extractors():
        from genlib.evaluation.extractors.torchvision import list_classifiers

        if name not in list_classifiers():
            raise unknown_name("--extractor", name, ["pca", "a classifier's folder", *discover_extractors()])
        if not colon:
            raise InputError(f"--extractor: got {name} without its weights, expected {name}:WEIGHTS_FILE")
        name, argument = "torchvision", spec
    found: NamedExtractor = importlib.import_module(f"{__name__}.{name}").load(argument)
    return found


def resolve_extractor(spec: Spec, images: AnyImages, components: int, seed: int) -> NamedExtractor:
    """As `load_extractor`, or any module with `features(x)` and logits, or one already loaded; None is "pca", whose
    components are fitted to `images`. Raises InputError also where it takes no images of this shape."""
    from torch import nn

    from genlib.evaluation.extractors.named import NamedExtractor

    if isinstance(spec, nn.Module):
        return NamedExtractor(spec, type(spec).__name__, "features")
    found = spec if isinstance(spec, NamedExtractor) else load_extractor(spec or "pca")
    if found is None:
        from genlib.evaluation.extractors.pca import fit_pca

        return fit_pca(images, components, seed, {} if spec else {"note": DEFAULT_NOTE})
    found.require_shape(images.shape)
    return found
