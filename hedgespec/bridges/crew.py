"""Work on several things at once, in threads that the process does not wait for when it is told to
end: a server may take minutes to reply. (A ThreadPoolExecutor's are joined at exit.)"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

# Seconds. Polars has waits for a lock begun anew after a signal: one without end would not be told
# of Ctrl-C.
STEP = 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")


def as_finished(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Yield `work(item)` of each item when it is finished, `threads` at once.

    When one raises, no others begin; those in work are yielded before it is raised. Close the
    generator to have no others begin.
    """
    waiting, halted = deque(items), Event()
    outcomes: SimpleQueue[Future[Result] | None] = SimpleQueue()  # None: a thread has ended

    def run() -> None:
        with suppress(IndexError):  # none waits any more
            while not halted.is_set():
                outcomes.put(_done(work, waiting.popleft(), halted))
        outcomes.put(None)

    running, fault = min(threads, len(waiting)), None
    for _ in range(running):
        Thread(target=run, daemon=True).start()
    try:
        while running:
            try:
                outcome = outcomes.get(timeout=STEP)
            except Empty:
                continue
            if outcome is None:
                running -= 1
            elif (error := outcome.exception()) is not None:
                fault = fault or error
            else:
                yield outcome.result()
    finally:
        halted.set()
    if fault is not None:
        raise fault


def _done(work: Callable[[Item], Result], item: Item, halted: Event) -> Future[Result]:
    outcome: Future[Result] = Future()
    try:
        outcome.set_result(work(item))
    except BaseException as error:  # raised by who asked for it
        halted.set()
        outcome.set_exception(error)
    return outcome
