"""`map` by Ray tasks, each on one CPU of the cluster."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from genlib.data.processes import available_cpus, map_in_processes
from genlib.distributed.session import blind_nodes, session
from genlib.errors import one_line

T = TypeVar("T")
R = TypeVar("R")


def map_on_cluster(
    max_tasks: int | None, roots: Sequence[Path], function: Callable[[T], R], items: Iterable[T]
) -> Iterator[R]:
    """The results in order, by at most `max_tasks` tasks at a time (None: one for each CPU) on nodes that all see the
    folders `roots`, or else by processes of this machine, which is said."""
    with session() as cpus:
        num_tasks = min(cpus, max_tasks or cpus)
        if blind := [address for root in roots for address in blind_nodes(root)]:
            where = ", ".join(one_line(str(root)) for root in roots)
            print(f"images are decoded on this machine, since {', '.join(dict.fromkeys(blind))} does not see {where}")
            yield from map_in_processes(max_tasks or available_cpus(), function, items)
        else:
            yield from _map_tasks(2 * max(1, num_tasks), function, iter(items))


def _map_tasks(num_ahead: int, function: Callable[[T], R], items: Iterator[T]) -> Iterator[R]:
    """`num_ahead`: tasks that are begun before the first is waited for."""
    import ray

    task: Any = ray.remote(num_cpus=1)(_call)
    shared = ray.put(function)
    pending = deque(task.remote(shared, item) for item in islice(items, num_ahead))
    while pending:
        yield ray.get(pending.popleft())
        pending.extend(task.remote(shared, item) for item in islice(items, 1))


def _call(function: Callable[[T], R], item: T) -> R:
    return function(item)
