"""A limit on the seconds of work that may never end."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any, TypeVar

Result = TypeVar("Result")


class TooLongError(BaseException):
    """Work took longer than it may. No Exception: work that catches all of these is ended too."""

    def __init__(self, taken: float, seconds: float):
        super().__init__(f"took {taken:.1f} s for one call, the limit being {seconds:g} s")


def limited(work: Callable[[], Result], seconds: float) -> Result:
    """What `work` gives; see `time_limit`."""
    with time_limit(seconds):
        return work()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TooLongError if what is done within takes longer than `seconds`.

    It is interrupted where signals can be used: in the main thread, not on Windows, and between two
    steps of Python. Elsewhere the error comes when the work has ended.
    """
    started = perf_counter()
    interruptible = math.isfinite(seconds) and _can_interrupt()
    with _interrupted(seconds) if interruptible else nullcontext():
        yield
    taken = perf_counter() - started
    if taken > seconds:
        raise TooLongError(taken, seconds)


def _can_interrupt() -> bool:
    return (
        hasattr(signal, "setitimer")
        and signal.getsignal(signal.SIGALRM) is not None
        and threading.current_thread() is threading.main_thread()
    )


@contextmanager
def _interrupted(seconds: float) -> Iterator[None]:
    armed = [True]

    def ring(*_: Any) -> None:
        if armed:
            armed.clear()
            raise TooLongError(seconds, seconds)

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        yield
    finally:
        armed.clear()  # from here on a late alarm does nothing
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
