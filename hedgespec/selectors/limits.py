"""Work that must go on: a learner that never returns is told, not waited for."""

import ctypes
import sys
import traceback
from collections.abc import Callable
from threading import Thread
from time import monotonic
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")

SECONDS = 10.0  # that one call of a learner may take


class OverdueError(Exception):
    """Work that stood still; `stack` is where it was in Python code, innermost last."""

    def __init__(self, seconds: float, stack: traceback.StackSummary):
        super().__init__(f"did not return in {seconds:g} s")
        self.stack = stack


class _StopError(BaseException):
    """Raised inside of overdue work, to end it."""


def run_limited(work: Callable[[], Result], progress: Callable[[], object]) -> Result:
    """What `work` returns or raises, run in a thread of its own.

    Raises OverdueError once `progress()` has been the same for SECONDS. Work in Python code is then
    stopped; compiled code that releases the lock goes on until the process ends.
    """
    thread = _Work(work)
    thread.start()
    try:
        _wait(thread, progress)
    finally:
        if thread.is_alive():
            thread.stop()
    if thread.error is not None:
        raise thread.error
    result: Result = thread.result
    return result


class _Work(Thread):
    """Runs and keeps what came of it."""

    def __init__(self, work: Callable[[], Any]):
        super().__init__(daemon=True)
        self._work = work
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do the work."""
        try:
            self.result = self._work()
        except _StopError:
            pass
        except BaseException as error:  # raised again where it is waited for
            self.error = error

    def stop(self) -> None:
        """Raise an exception in it, at its next step in Python code."""
        assert self.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.ident), ctypes.py_object(_StopError)
        )


def _wait(thread: _Work, progress: Callable[[], object]) -> None:
    """Until it has ended. Raises OverdueError if it stands still."""
    seconds = SECONDS
    thread.join(min(0.2, seconds))  # most have ended by then
    seen, since = progress(), monotonic()
    while thread.is_alive():
        thread.join(min(1.0, seconds / 4))
        if not thread.is_alive():
            return
        if (now := progress()) != seen:
            seen, since = now, monotonic()
        elif monotonic() - since >= seconds:
            raise OverdueError(seconds, _stack(sys._current_frames().get(thread.ident or 0)))


def _stack(frame: FrameType | None) -> traceback.StackSummary:
    return traceback.StackSummary() if frame is None else traceback.extract_stack(frame)
