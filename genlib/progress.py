"""Progress of a loop: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from typing import Protocol, TypeVar

T = TypeVar("T", covariant=True)

LINE_INTERVAL_S = 10.0  # seconds between two lines
BAR_DELAY_S = 2.0  # seconds before a bar is shown


class SizedIterable(Protocol[T]):
    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[T]: ...


def track_progress(items: SizedIterable[T], title: str) -> Iterator[T]:
    """The things, one by one, as they are."""
    from tqdm import tqdm

    bar = tqdm(items, desc=title, leave=False, delay=BAR_DELAY_S, disable=not sys.stderr.isatty())
    began = spoke = time.monotonic()
    for done, thing in enumerate(bar):
        if bar.disable and (now := time.monotonic()) - spoke >= LINE_INTERVAL_S:
            spoke, rate = now, done / (now - began)
            print(
                f"{title}: {done:,} of {len(items):,}, {rate:,.0f} a second, {(len(items) - done) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
        yield thing
