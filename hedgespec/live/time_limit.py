"""A limit on the seconds of work that may never end."""

import math
import signal
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

Result = TypeVar("Result")


class TooLongError(BaseException):
    """Work took longer than it may. No Exception: work that catches all of these is ended too."""


def limited(work: Callable[[], Result], seconds: float) -> Result:
    """What `work` gives. Raises TooLongError if it takes longer than `seconds`.

    It is interrupted where signals can be used: in the main thread, not on Windows, and between two
    steps of Python. Elsewhere the error comes when the work has ended.
    """
    started = perf_counter()
    interruptible = math.isfinite(seconds) and _can_interrupt()
    result = _interrupted(work, seconds) if interruptible else work()
    taken = perf_counter() - started
    if taken > seconds:
        raise TooLongError(_told(taken, seconds))
    return result


def _can_interrupt() -> bool:
    return (hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is not None
            and threading.current_thread() is threading.main_thread())


def _interrupted(work: Callable[[], Result], seconds: float) -> Result:
    armed = [True]

    def ring(*_: Any) -> None:
        if armed:
            armed.clear()
            raise TooLongError(_told(seconds, seconds))

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        return work()
    finally:
        armed.clear()  # from here on a late alarm does nothing
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def _told(taken: float, seconds: float) -> str:
    return f"took {taken:.1f} s for one call, the limit being {seconds:g} s"
