"""Where units of work are run: here, or wherever else the same call is answered."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from hedgespec.simulator.found import Found, together
from hedgespec.simulator.plan import Part, Unit
from hedgespec.simulator.replayer import Carried
from hedgespec.simulator.runs import CarriedStates, TraceJobs
from hedgespec.traces import Trace, TraceReader

Report = Callable[[Unit, int], None]


class Place(Protocol):
    """Where units are run."""

    def run(
        self, parts: Sequence[Part], units: Sequence[Unit], report: Report
    ) -> Iterator[tuple[Unit, list[Found]]]:
        """Each unit with what it found under each of its part's costs, in any order.

        `report` is told a unit, and how many of its runs are done, before each of them or less
        often. A unit that is lost on the way is run again.
        """


class Here:
    """This process, whose kernels run on several threads: units in their order."""

    def __init__(self, shelf: "Shelf | None" = None):
        self._shelf = shelf or Shelf()

    def run(
        self, parts: Sequence[Part], units: Sequence[Unit], report: Report
    ) -> Iterator[tuple[Unit, list[Found]]]:
        """See `Place`."""
        worker = Worker(parts, self._shelf)
        for unit in units:
            yield unit, worker.run(unit, report)


class Worker:
    """Runs units one after the other; the tables of the piece that is replayed stay in memory."""

    def __init__(self, parts: Sequence[Part], shelf: "Shelf"):
        self._parts, self._shelf = parts, shelf
        self._at: tuple[int, int] | None = None
        self._jobs: TraceJobs | None = None

    def run(self, unit: Unit, report: Report = lambda unit, done: None) -> list[Found]:
        """What the unit found under each of its part's costs."""
        part = self._parts[unit.part]
        job = part.jobs[unit.job]
        runs = part.blocks(job)[unit.block]
        if not part.carried or len(part.pieces) == 1:
            return self._on(part, unit).run(job, lambda done: report(unit, done), runs)
        carried = CarriedStates(Carried)
        found = [
            self._on(part, unit._replace(piece=piece)).run(
                job, lambda done: report(unit, done), runs, carried
            )
            for piece in range(len(part.pieces))
        ]
        return [together(pieces) for pieces in zip(*found, strict=True)]

    def _on(self, part: Part, unit: Unit) -> TraceJobs:
        """What runs jobs on the unit's piece."""
        if self._jobs is None or self._at != (unit.part, unit.piece):
            self._jobs = None  # frees its tables before others are made
            self._at = unit.part, unit.piece
            self._jobs = part.trace_jobs(
                self._shelf.read(part.source, part.pieces[unit.piece], part.memory)
            )
        return self._jobs


class Shelf:
    """What was read of traces: the newest, and those before it for which there is room."""

    def __init__(self) -> None:
        self._traces: dict[tuple[TraceReader, bytes], Trace] = {}

    def read(self, source: TraceReader, numbers: np.ndarray, memory: int) -> Trace:
        """The piece of these queries. Whole traces are kept that take a quarter of `memory` bytes
        together; a piece is kept alone."""
        key = source, numbers.tobytes()
        found = self._traces.pop(key, None)
        room = memory // 4 if len(numbers) == source.manifest.queries else 0
        while found is None and self._traces and self._bytes() > room:
            del self._traces[next(iter(self._traces))]
        self._traces[key] = source.read(numbers) if found is None else found
        return self._traces[key]

    def _bytes(self) -> int:
        return sum(trace.bytes for trace in self._traces.values())
