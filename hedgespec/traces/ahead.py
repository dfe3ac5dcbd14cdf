"""Works on some items while further ones are made, with few of them in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_parallel(
    work: Callable[..., Result], items: Iterable[tuple[object, ...]], threads: int | None = None
) -> Iterator[Result]:
    """`work(*item)` of each item, in order, on so many threads (None: as many as cores).

    Beside those that are worked on one item waits. What `work` raises is raised here, when what was
    begun has ended.
    """
    threads = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Result]] = deque()
        for item in items:
            begun.append(pool.submit(work, *item))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
