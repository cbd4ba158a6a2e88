"""Progress of a loop: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LINE_INTERVAL_S = 10.0  # seconds between two lines
BAR_DELAY_S = 2.0  # seconds before a bar is shown


def track_progress(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """The items as they are; `total`: how many, of items that have no length."""
    from tqdm import tqdm

    bar = tqdm(items, title, total, leave=False, delay=BAR_DELAY_S, disable=not sys.stderr.isatty())
    began = spoke = time.monotonic()
    for done, thing in enumerate(bar):
        if bar.disable and (now := time.monotonic()) - spoke >= LINE_INTERVAL_S:
            spoke, rate = now, done / (now - began)
            left = f"{rate:,.0f} a second, {(bar.total - done) / rate:.0f} s left"
            print(f"{title}: {done:,} of {bar.total:,}, {left}", file=sys.stderr, flush=True)
        yield thing
