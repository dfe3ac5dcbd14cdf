"""Times the parts of a round so that they can be compared: in turn, many times each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch

from hedgespec.traces import Spread

_WARM_UP = 2
REPEATS = {"cpu": 5, "cuda": 20}


@dataclass(frozen=True)
class Timed:
    """Work that is timed, each time after a `prepare` that does not count."""

    name: str
    prepare: Callable[[], object]
    work: Callable[[], object]


@dataclass(frozen=True)
class Timings:
    """Seconds of each part: the median of its repeats, and how they are spread."""

    medians: dict[str, float]
    spread: dict[str, Spread]

    def repeat(self, alike: Mapping[str, str]) -> None:
        """Give parts the numbers of others, which take the same: `alike` has those by the names."""
        self.medians.update({name: self.medians[other] for name, other in alike.items()})
        self.spread.update({name: self.spread[other] for name, other in alike.items()})


def time_in_turn(
    parts: Sequence[Timed], device: torch.device, repeats: int | None = None
) -> Timings:
    """Time every part once, then every part again, `repeats` times (None: 20 on a GPU, else 5).

    So a machine that slows down meanwhile slows all of them, and the drift of each is seen.
    """
    repeats = repeats or REPEATS.get(device.type, 20)
    seconds: dict[str, list[float]] = {part.name: [] for part in parts}
    for _ in range(_WARM_UP + repeats):
        for part in parts:
            part.prepare()
            seconds[part.name].append(_seconds(part.work, device))
    kept = {name: values[_WARM_UP:] for name, values in seconds.items()}
    return Timings(
        {name: median(values) for name, values in kept.items()},
        {name: _spread(values) for name, values in kept.items()},
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
