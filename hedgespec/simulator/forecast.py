"""What a sweep would do, and about how long it would take, without running it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hedgespec.selectors import ConfiguredSelector
from hedgespec.simulator.compiling import missing_kernels
from hedgespec.simulator.found import tables
from hedgespec.simulator.kept import KeptResults
from hedgespec.simulator.plan import Unit
from hedgespec.simulator.runs import Job
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.sweep import Task, planned_sweep, tasks_of
from hedgespec.simulator.work import Shelf, Worker

_TRYING = 3.0  # seconds that are spent on trying units,
_FEWEST = 6  # but on so many in any case
_FAR = 7919  # a prime: steps of it go all over the units, and come to each
_COMPILING = 2.0  # seconds of a kernel, roughly: docs/design.md, "first call"


@dataclass(frozen=True)
class Forecast:
    """The size of a sweep: `jobs` are settings of a selector on a trace, `runs` their replays and
    exact expectations, `tokens` those that all runs go through; the rest counts what was not
    `finished` before. `seconds` are expected for it here, after `tried` units of it: `kernels` are
    compiled for about two seconds each, the rest is as slow as what was tried. None if nothing
    could be tried.
    """

    traces: int
    jobs: int
    finished: int
    runs: int
    tokens: int
    kernels: int
    tried: int
    seconds: float | None

    def __str__(self) -> str:
        """In a few lines."""
        lines = [
            f"settings: {self.jobs}, of which finished: {self.finished}; traces: {self.traces}",
            f"runs left: {self.runs}, of {self.tokens:,} tokens in all",
            f"kernels to compile first: {self.kernels}",
        ]
        if self.seconds is None:
            return "\n".join([*lines, "time: not known, as nothing could be tried"])
        return "\n".join(
            [
                *lines,
                f"time here: about {_words(self.seconds)}; units of "
                f"work tried for it: {self.tried}",
            ]
        )


def forecast(
    folders: Iterable[Path],
    settings: SweepSettings | Sequence[SweepSettings],
    kept: KeptResults | None = None,
) -> Forecast:
    """What `run_sweep` would do with the same arguments; nothing is written but compiled kernels.

    Raises HedgespecError as `run_sweep` does.
    """
    shelf, begun = Shelf(), time.perf_counter()
    planned = planned_sweep(folders, settings, shelf)
    planning = time.perf_counter() - begun
    tasks = list(tasks_of(planned.parts, kept or KeptResults(None)).values())
    left = [task for task in tasks if task.results is None]
    missing = missing_kernels([task.job for task in left])
    uncompiled = {one.selector for one in missing}
    of_unit = {unit: task for task in left for unit in task.missing}
    sizes = {unit: _tokens(task, unit) for unit, task in of_unit.items()}
    ready = {unit: task for unit, task in of_unit.items() if not _compiles(task.job, uncompiled)}
    tried = _tried(Worker(planned.parts, shelf), ready)
    seconds = (
        None
        if not tried
        else planning
        + len(missing) * _COMPILING
        + _expected(tried, of_unit, sizes, len({unit.part for unit in sizes}))
    )
    return Forecast(
        len(planned.inputs),
        len(tasks),
        len(tasks) - len(left),
        sum(
            len(task.part.blocks(task.job)[unit.block])
            for unit, task in of_unit.items()
            if unit.piece == 0
        ),
        sum(sizes.values()),
        len(missing),
        len(tried),
        seconds,
    )


def _tokens(task: Task, unit: Unit) -> int:
    """Of all runs of a unit."""
    part = task.part
    tokens = part.source.manifest.tokens  # pieces are about alike
    return (
        tokens
        * len(part.blocks(task.job)[unit.block])
        // max(1, 1 if part.carried else len(part.pieces))
    )


def _compiles(job: Job, uncompiled: set[str]) -> bool:
    """Whether a kernel must be compiled for it: then it tells nothing about the others."""
    chooser = job.chooser
    return isinstance(chooser, ConfiguredSelector) and (
        not chooser.module or chooser.label in uncompiled
    )


class _Tried(NamedTuple):
    """Seconds of a unit where all is ready for it, and of what made it ready: the tables of its
    part."""

    again: float
    ready: float


def _tried(worker: Worker, units: dict[Unit, Task]) -> dict[Unit, _Tried]:
    """What some units take, from all over the sweep, until time is up."""
    order = sorted(units)
    found: dict[Unit, _Tried] = {}
    begun = time.perf_counter()
    for place in range(len(order)):
        unit = order[place * _FAR % len(order)]
        late = len(found) >= _FEWEST and time.perf_counter() - begun > _TRYING
        if unit in found or late:
            break
        times = [time.perf_counter()]
        for _ in range(2):
            tables(units[unit].part.source.queries, [worker.run(unit)])
            times.append(time.perf_counter())
        again = times[2] - times[1]
        found[unit] = _Tried(again, max(0.0, times[1] - times[0] - again))
    return found


def _expected(
    tried: dict[Unit, _Tried], units: dict[Unit, Task], sizes: dict[Unit, int], parts: int
) -> float:
    """Seconds of all units, by their tokens; expectations and replays have rates of their own."""

    def rate(exact: bool) -> float:
        same = [unit for unit in tried if units[unit].job.exact == exact] or list(tried)
        return sum(tried[unit].again for unit in same) / sum(sizes[unit] for unit in same)

    making = sum(one.ready for one in tried.values()) / len(tried)
    rates = {True: rate(True), False: rate(False)}
    return making * parts + sum(rates[task.job.exact] * sizes[unit] for unit, task in units.items())


def _words(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
