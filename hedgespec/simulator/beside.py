"""Runs the units of a sweep in two processes: this one begins with the first, another with the last.

Half of a unit's time is Python's, which one process does in one thread at a time. So a second process
compiles kernels that are missing (compiling.py), and then runs units as `Here` does. What goes wrong in
it is left to this process, which then tells.
"""

import os
import pickle
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from queue import Empty, Queue
from signal import SIG_IGN, SIGINT, signal
from threading import Lock, Thread
from typing import IO, Any

from hedgespec.selectors.kernel_cache import kernel_folder
from hedgespec.simulator.compiling import Wanted, compile_wanted, missing_kernels
from hedgespec.simulator.found import Found
from hedgespec.simulator.plan import Part, Unit
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.work import Here, Report, Shelf, Worker
from hedgespec.traces import TraceReader

# Units, or kernels to compile, for which a process is started; that takes two seconds.
WORTH_IT, KERNELS_WORTH_IT = 24, 4
_LOT = 4  # units that the second process is given at once
_WAIT = 0.05  # seconds, before the last units are looked after again

Answer = list[tuple[Unit, list[Found]]]


class Beside:
    """This process and a second one, where there are many units or kernels to compile; else `Here`.

    The second one only compiles where traces do not fit into memory twice, or learners cannot be
    had in another process.
    """

    def __init__(self, shelf: Shelf | None = None):
        self._shelf = shelf or Shelf()

    def run(
        self, parts: Sequence[Part], units: Sequence[Unit], report: Report
    ) -> Iterator[tuple[Unit, list[Found]]]:
        """See `Place`."""
        wanted = _missing(parts)
        given = _pickled(parts) if _is_worth_it(parts, units, wanted) else None
        if given is None and len(wanted) < KERNELS_WORTH_IT:
            yield from Here(self._shelf).run(parts, units, report)
            return
        second = _Second(parts, wanted, given, units)
        try:
            mine = parts if given is None else [_with_its_share(part) for part in parts]
            worker = Worker(mine, self._shelf)
            while (unit := second.next_here()) is not None or second.is_busy:
                if unit is not None:
                    yield unit, worker.run(unit, report)
                for found, answer in second.answers(wait=unit is None):
                    report(found, 0)
                    yield found, answer
        finally:
            second.end()


def _missing(parts: Sequence[Part]) -> list[Wanted]:
    """The kernels to compile, from the last one on: none with one thread, or if none can be kept."""
    if max((part.settings.threads for part in parts), default=1) < 2 or kernel_folder() is None:
        return []
    return missing_kernels([job for part in parts for job in part.jobs])[::-1]


def _is_worth_it(parts: Sequence[Part], units: Sequence[Unit], wanted: Sequence[Wanted]) -> bool:
    """Whether units are to be run in the second process too."""
    return (
        (len(units) >= WORTH_IT or len(wanted) >= KERNELS_WORTH_IT)
        and max(part.settings.threads for part in parts) > 1
        and all(
            len(part.pieces) == 1 and 2 * part.source.manifest.tokens <= part.most_tokens
            for part in parts
        )
    )


def _pickled(parts: Sequence[Part]) -> bytes | None:
    """What the parts are made of; None where something of it is not to be had in another process."""
    try:
        return pickle.dumps([part.made_of for part in parts])
    except Exception:  # a learner of a notebook's, of whatever kind
        return None


def _share(settings: SweepSettings) -> SweepSettings:
    """The settings on half of the threads."""
    return replace(settings, threads=max(1, settings.threads // 2))


def _with_its_share(part: Part) -> Part:
    """The same part on half of the threads."""
    other = copy(part)
    other.settings = _share(part.settings)
    return other


def _made(source: TraceReader, settings: SweepSettings, *rest: Any) -> Part:
    """The part made of these, on half of the threads."""
    return Part(source, _share(settings), *rest)


class _Second:
    """The second process, and a thread that gives it units and takes what it found."""

    def __init__(
        self,
        parts: Sequence[Part],
        wanted: Sequence[Wanted],
        given: bytes | None,
        units: Sequence[Unit],
    ):
        """It compiles the kernels `wanted`; what the parts are made of is `given`, None if it is to
        run no units."""
        self._left, self._lock = deque(units), Lock()
        self._in_hand = 0
        self._found: Queue[tuple[Answer, list[warnings.WarningMessage]]] = Queue()
        self._told: dict[Any, Any] = {}
        self._runs_units = given is not None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hedgespec.simulator.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        trace = parts[0].source.folder.absolute()
        start = pickle.dumps((os.getpid(), trace, wanted)) + (given or pickle.dumps([]))
        self._thread = Thread(target=self._hand_out, args=(start,), daemon=True)
        self._thread.start()

    def next_here(self) -> Unit | None:
        """The next unit for this process."""
        with self._lock:
            return self._left.popleft() if self._left else None

    @property
    def is_busy(self) -> bool:
        """Whether units are left, or in the second process's hands, or their answers wait."""
        with self._lock:
            return bool(self._left or self._in_hand or not self._found.empty())

    def answers(self, wait: bool) -> Answer:
        """What was found since this was asked last, perhaps after a moment."""
        found: Answer = []
        with suppress(Empty):
            while True:
                answer, told = self._found.get(timeout=_WAIT) if wait else self._found.get_nowait()
                wait = False
                for one in told:
                    warnings.warn_explicit(
                        one.message, one.category, one.filename, one.lineno, registry=self._told
                    )
                found += answer
        return found

    def end(self) -> None:
        """End the process, and with it the thread."""
        self._process.terminate()
        self._process.wait()
        self._thread.join()

    def _hand_out(self, start: bytes) -> None:
        """Give lots until none is left; what is lost with the process goes back."""
        lot: list[Unit] = []
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with self._process.stdin as pipe, self._process.stdout as answers:
                pipe.write(start)
                pipe.flush()
                pickle.load(answers)  # it is ready
                while self._runs_units and (lot := self._take_lot()):
                    pickle.dump(lot, pipe)
                    pipe.flush()
                    found = pickle.load(answers)
                    with self._lock:
                        self._found.put(found)
                        self._in_hand = 0
        except (OSError, EOFError, pickle.UnpicklingError):  # it is gone
            with self._lock:
                self._left.extend(lot)
                self._in_hand = 0

    def _take_lot(self) -> list[Unit]:
        """The last units, all of one piece."""
        with self._lock:
            lot: list[Unit] = []
            most = min(_LOT, -(-len(self._left) // 2))
            while len(lot) < most and (not lot or self._left[-1][:2] == lot[0][:2]):
                lot.insert(0, self._left.pop())
            self._in_hand = len(lot)
            return lot


def serve(read: IO[bytes], write: IO[bytes]) -> None:
    """What the second process does: compile, then run units until no more come."""
    signal(SIGINT, SIG_IGN)  # the first one ends this one
    compile_wanted(*pickle.load(read))
    worker = Worker([_made(*made_of) for made_of in pickle.load(read)], Shelf())
    pickle.dump(None, write)
    write.flush()
    with suppress(EOFError):
        while True:
            lot = pickle.load(read)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                found = [(unit, worker.run(unit)) for unit in lot]
            pickle.dump((found, told), write)
            write.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
