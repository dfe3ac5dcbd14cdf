"""Reads how long the parts of a round take."""

from itertools import pairwise
from time import perf_counter

import torch


class Clock:
    """Seconds of each part of a round."""

    def __init__(self, exact: bool, device: torch.device):
        """On a GPU the host is ahead of the device: `exact` reads the device's clock when it has
        done what it was asked for so far. Nothing waits for that before `seconds` is asked for."""
        self._of_device = exact and device.type == "cuda"
        self._parts: list[str] = []
        self._times = [self._now()]

    def read(self, part: str) -> None:
        """The time since the last reading was spent on `part`."""
        self._parts.append(part)
        self._times.append(self._now())

    @property
    def seconds(self) -> dict[str, float]:
        """Of each part, all its readings together."""
        found = dict.fromkeys(self._parts, 0.0)
        for part, (before, after) in zip(self._parts, pairwise(self._times), strict=True):
            found[part] += _between(before, after)
        return found

    def _now(self) -> float | torch.cuda.Event:
        if not self._of_device:
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _between(before: float | torch.cuda.Event, after: float | torch.cuda.Event) -> float:
    if isinstance(before, float) or isinstance(after, float):
        return float(after) - float(before)
    after.synchronize()
    return float(before.elapsed_time(after)) / 1000
