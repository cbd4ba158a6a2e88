"""Progress of a loop: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
LINE_INTERVAL_S = 10.0  # seconds between two lines
BAR_DELAY_S = 2.0  # seconds before a bar is shown
ProgressWrapper = Callable[[Sequence[Any], str], Iterable[Any]]  # items and their title -> the same items


def without_progress(items: Sequence[T], title: str) -> Sequence[T]:
    """The items without any progress."""
    return items


def open_bar(title: str, **options: Any) -> Any:
    """tqdm's bar, which a terminal shows; elsewhere it is disabled."""
    from tqdm import tqdm

    return tqdm(desc=title, disable=not sys.stderr.isatty(), **options)


def format_rate(done: int, left: int, seconds: float, unit: str = "a second") -> str:
    """ "12 a second, 3 s left", or of slow things "1.5 s each, 30 s left"."""
    each = seconds / done
    speed = f"{each:.1f} s each" if each > 1 else f"{1 / max(each, 1e-9):,.0f} {unit}"
    return f"{speed}, {max(0, left) * each:.0f} s left"


def track_progress(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """The items as they are; `total`: how many, of items that have no length."""
    bar = open_bar(title, iterable=items, total=total, leave=False, delay=BAR_DELAY_S)
    began = spoke = time.monotonic()
    for done, thing in enumerate(bar):
        if bar.disable and done and (now := time.monotonic()) - spoke >= LINE_INTERVAL_S:
            spoke = now
            rate = format_rate(done, bar.total - done, now - began)
            print(f"{title}: {done:,} of {bar.total:,}, {rate}", file=sys.stderr, flush=True)
        yield thing
