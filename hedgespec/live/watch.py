"""Calls of drafters on fixed tensors: to raise, or to take too long, is their failure."""

import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from hedgespec.live.failures import DrafterFailureError
from hedgespec.live.time_limit import TooLongError, time_limit


@dataclass(frozen=True)
class _Mark:
    """Events of a CUDA graph around a call of some drafters."""

    arms: list[int]
    start: torch.cuda.Event
    stop: torch.cuda.Event


class Watch:
    """How long one call of drafters took, `seconds` at most.

    On a CPU the host sees it, and ends what takes longer. On a GPU, where nothing may wait for the
    device, the graphs hold events around each call, and `too_long` reads them when they are past.
    There a call counts once it is a graph; torch before 2.8 has no such events, and nothing counts.
    """

    def __init__(self, seconds: float, device: torch.device):
        self._seconds = seconds
        self._marks_calls = (
            device.type == "cuda" and math.isfinite(seconds) and (torch.__version__ >= (2, 8))
        )
        self._on_gpu = device.type == "cuda"
        self._limit = math.inf
        self._part: Hashable = None
        self._marks: dict[Hashable, list[_Mark]] = {}
        self._ran: set[Hashable] = set()

    @contextmanager
    def part(self, part: Hashable, timed: bool = True) -> Iterator[None]:
        """A part of a round runs within; untimed where it may compile kernels."""
        before = self._limit, self._part
        self._limit, self._part = self._seconds if timed else math.inf, part
        try:
            yield
        finally:
            self._limit, self._part = before
        if part in self._marks:
            self._ran.add(part)

    @contextmanager
    def call(self, arms: list[int], on_host: bool = False) -> Iterator[None]:
        """Whatever is raised within is the failure of these drafters; so is to take too long, of
        work `on_host` whatever the part."""
        try:
            with (
                time_limit(self._seconds)
                if on_host
                else self._marked(arms)
                if self._on_gpu
                else time_limit(self._limit)
            ):
                yield
        except (Exception, SystemExit, TooLongError) as error:
            raise DrafterFailureError(arms, error) from error

    @contextmanager
    def _marked(self, arms: list[int]) -> Iterator[None]:
        if not (self._marks_calls and torch.cuda.is_current_stream_capturing()):
            yield
            return
        mark = _Mark(arms, *(torch.cuda.Event(enable_timing=True, external=True) for _ in range(2)))
        mark.start.record()
        yield
        mark.stop.record()
        self._marks.setdefault(self._part, []).append(mark)

    def too_long(self) -> list[tuple[list[int], str]]:
        """Drafters whose calls on a GPU took too long since this was asked last, and what to say.

        Calls that the device has not done yet are told another time. Never waits.
        """
        found = []
        for part in list(self._ran):
            marks = self._marks[part]
            if not all(mark.start.query() and mark.stop.query() for mark in marks):
                continue
            self._ran.remove(part)
            for mark in marks:
                taken = mark.start.elapsed_time(mark.stop) / 1000
                if taken > self._seconds:
                    found.append((mark.arms, str(TooLongError(taken, self._seconds))))
        return found

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No call is too long within: it is measured."""
        before, self._seconds = self._seconds, math.inf
        try:
            yield
        finally:
            self._seconds = before
            self._ran.clear()

    def forget(self) -> None:
        """The graphs are gone."""
        self._marks.clear()
        self._ran.clear()
