"""What experiments share: the options, finished rows that a long run goes on from, training, tables and figures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from torch import nn

from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset, load_dataset, prepare
from genlib.files import write_text
from genlib.training.fit import fit
from genlib.training.job import TrainingJob

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCS = Path(__file__).parent.parent / "docs"


def new_parser(doc: str | None, data: str, default: Path | None = None) -> argparse.ArgumentParser:
    """A parser with `--data PATH`, of which `data` says what it is, and `--state FOLDER`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default, metavar="PATH", help=data)
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="keep finished rows here, and go on from them [a temporary folder]",
    )
    return parser


@contextmanager
def open_state(folder: Path | None) -> Iterator[Path]:
    """The folder of `--state`, or a temporary one."""
    if folder is None:
        with TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def open_data(path: Path | None, config: DataConfig, state: Path) -> Dataset:
    """The prepared data set in `path`, or else `config` prepared in the state folder."""
    folder = path or state / "data"
    if path is None and not (folder / "dataset.json").exists():
        prepare(config, folder)
    return load_dataset(folder)


class FinishedRows:
    """Rows by key in `rows.json` of the state folder: each is computed once. Rows are plain JSON."""

    def __init__(self, state: Path) -> None:
        self.file = state / "rows.json"
        self.rows: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}

    def get(self, key: str, compute: Callable[..., Any], *args: Any) -> Any:
        """The row of `key`, which names all that decides it; `compute(*args)` where it is not there yet."""
        if key not in self.rows:
            self.rows[key] = json.loads(json.dumps(compute(*args)))
            write_text(json.dumps(self.rows), self.file)
        return self.rows[key]


def train_to_end(job: TrainingJob) -> nn.Module:
    """The averaged model after the last step."""
    *_, last = fit(job)
    assert last.model is not None
    return last.model.eval()


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], num_text_columns: int = 1) -> str:
    """The first columns hold text, the others numbers."""
    ruler = "|" + ":--|" * num_text_columns + "--:|" * (len(columns) - num_text_columns)
    lines = ["| " + " | ".join(cells) + " |" for cells in (columns, *rows)]
    return "\n".join([lines[0], ruler, *lines[1:]])


def hide_frame(axes: Iterable[Axes]) -> None:
    for each in axes:
        each.spines[["right", "top"]].set_visible(False)
