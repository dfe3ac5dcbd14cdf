"""Times the parts of a round so that they can be compared: in turn, many times each, and again after
other work, as what a machine takes moves from minute to minute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch

from hedgespec.traces import Costs, Spread

_WARM_UP = 2
REPEATS = {"cpu": 5, "cuda": 20}


@dataclass(frozen=True)
class Timed:
    """Work that is timed, each time after a `prepare` that does not count: it is the part `times`
    over."""

    name: str
    prepare: Callable[[], object]
    work: Callable[[], object]
    times: float = 1.0


@dataclass(frozen=True)
class Timings:
    """Seconds of each part: the median of its repeats, of several calls the median of theirs, and
    how all are spread."""

    medians: dict[str, float]
    spread: dict[str, Spread]

    def repeat(self, alike: Mapping[str, str]) -> None:
        """Give parts the numbers of others, which take the same: `alike` has those by the names."""
        self.medians.update({name: self.medians[other] for name, other in alike.items()})
        self.spread.update({name: self.spread[other] for name, other in alike.items()})


class Measurement:
    """Costs by the timing of parts, which can be timed again between other work."""

    def __init__(
        self,
        parts: Sequence[Timed],
        device: torch.device,
        costs: Callable[[Timings], Costs],
        prepare: Callable[[], object] = lambda: None,
    ):
        """`prepare` makes all parts ready: it comes before those of each call."""
        self._parts, self._device = parts, device
        self._costs, self._prepare = costs, prepare
        self._calls: list[dict[str, list[float]]] = []

    @torch.inference_mode()
    def take(self, repeats: int | None = None) -> Costs:
        """Time the parts as `time_in_turn` does; costs of all calls up to now."""
        self._prepare()
        self._calls.append(_in_turn(self._parts, self._device, repeats))
        return self._costs(_timings(self._calls))


def time_in_turn(
    parts: Sequence[Timed], device: torch.device, repeats: int | None = None
) -> Timings:
    """Time every part once, then every part again, `repeats` times (None: 20 on a GPU, else 5).

    So a machine that slows down meanwhile slows all of them, and the drift of each is seen.
    """
    return _timings([_in_turn(parts, device, repeats)])


def _in_turn(
    parts: Sequence[Timed], device: torch.device, repeats: int | None
) -> dict[str, list[float]]:
    repeats = repeats or REPEATS.get(device.type, 20)
    seconds: dict[str, list[float]] = {part.name: [] for part in parts}
    for _ in range(_WARM_UP + repeats):
        for part in parts:
            part.prepare()
            seconds[part.name].append(_seconds(part.work, device) / part.times)
    return {name: values[_WARM_UP:] for name, values in seconds.items()}


def _timings(calls: Sequence[dict[str, list[float]]]) -> Timings:
    return Timings(
        {name: median(median(call[name]) for call in calls) for name in calls[0]},
        {name: _spread([value for call in calls for value in call[name]]) for name in calls[0]},
    )


def _spread(seconds: list[float]) -> Spread:
    low, high = np.quantile(seconds, (0.1, 0.9)).tolist()
    half = (len(seconds) + 1) // 2
    return Spread(len(seconds), low, high, median(seconds[-half:]) / median(seconds[:half]) - 1)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000
    started = perf_counter()
    work()
    return perf_counter() - started
