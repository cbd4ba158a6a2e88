"""The files of the project that a file imports, directly or through others, also inside functions."""

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def import_closure(entries: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """`entries` and what they import, as paths from the project's root; files and folders in `stop` are left out."""
    found: set[str] = set()
    todo = list(entries)
    while todo:
        file = todo.pop()
        if file not in found and not any(file == each or file.startswith(f"{each}/") for each in stop):
            found.add(file)
            todo += imported_files(file)
    return found


def imported_files(file: str) -> Iterator[str]:
    """The project's files that `file` imports when it runs; imports for type checkers alone do not count."""
    nodes: list[ast.AST] = [ast.parse((ROOT / file).read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        for name in names:
            path = f"{name.replace('.', '/')}.py"
            if name.partition(".")[0] in ("genlib", "pipelines") and (ROOT / path).is_file():
                yield path
