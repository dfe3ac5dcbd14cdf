"""Runs the units of a sweep on a Ray cluster: an extra, `hedgespec[ray]`.

An actor for each core of the cluster runs units as `Here` does, a few at a time. The driver hands
them out, and hands out again those of an actor that is gone.
"""

import fcntl
import os
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.files import cache_folder, make_folder
from hedgespec.results.labels import BEST_FIXED
from hedgespec.selectors import ConfiguredSelector
from hedgespec.selectors.kernel_cache import kept_name
from hedgespec.simulator.choosers import as_chooser
from hedgespec.simulator.found import Found
from hedgespec.simulator.kernels import exact_kernel, is_compiled, selector_kernel
from hedgespec.simulator.plan import Part, Unit
from hedgespec.simulator.runs import Job, replayed
from hedgespec.simulator.work import Report, Shelf, Worker

MOST_UNITS = 16  # that an actor is given at once
MOST_LOSSES = 4  # of actors with the same unit in hand
_WAIT = 1.0  # seconds, before the cluster is looked at again
_PATIENCE = 10.0  # seconds without a process that runs units, before it is said

Answer = list[tuple[Unit, list[Found]]]


class OnRay:
    """A Ray cluster by its address, "auto" for that of the environment; None starts one here."""

    def __init__(self, address: str | None = None):
        """Raises HedgespecError where Ray is missing."""
        try:
            import ray
        except ImportError as error:
            raise HedgespecError(
                "ray is not installed: pip install 'hedgespec[ray]' (in a clone: "
                "pip install -e '.[ray]')"
            ) from error
        self._ray: Any = ray
        self._address = address

    def run(
        self, parts: Sequence[Part], units: Sequence[Unit], report: Report
    ) -> Iterator[tuple[Unit, list[Found]]]:
        """See `Place`. Raises HedgespecError where the cluster cannot be reached, or a unit is lost
        MOST_LOSSES times."""
        try:
            self._ray.init(
                address=self._address,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as fault:
            raise HedgespecError(f"no Ray cluster at {self._address}: {fault}") from fault
        try:
            yield from _Driver(self._ray, parts, units, report).answers()
        finally:
            self._ray.shutdown()


class _Driver:
    """Hands out units to actors, of the same piece where it can."""

    def __init__(self, ray: Any, parts: Sequence[Part], units: Sequence[Unit], report: Report):
        self._ray, self._report = ray, report
        single = [replace(part, settings=replace(part.settings, threads=1)) for part in parts]
        self._parts = ray.put(single)
        self._actor = ray.remote(_Actor).options(num_cpus=1)
        self._left = deque(units)
        self._losses: Counter[Unit] = Counter()
        self._actors: list[Any] = []  # that have started, and may be given units
        self._starting: dict[Any, Any] = {}
        self._failures = 0
        self._idle_since: float | None = monotonic()  # None: there are actors, or it was said
        self._given: dict[Any, tuple[Any, list[Unit]]] = {}

    def answers(self) -> Iterator[tuple[Unit, list[Found]]]:
        """Every unit with what it found."""
        while self._left or self._given:
            self._hand_out()
            done, _ = self._ray.wait([*self._given, *self._starting], timeout=_WAIT)
            self._say_idle()
            for answer in done:
                if answer in self._starting:
                    self._welcome(answer)
                else:
                    yield from self._take(answer)

    def _hand_out(self) -> None:
        """Have an actor on each core, each with one lot in hand and one waiting.

        An actor may wait long for its core: of a node that is gone, or that others use.
        """
        while self._left and len(self._actors) + len(self._starting) < self._cores():
            actor = self._actor.remote([self._parts], os.getcwd())
            self._starting[actor.ready.remote()] = actor
        for _ in range(2):
            for actor in self._actors:
                waiting = sum(one is actor for one, _ in self._given.values())
                if self._left and waiting < 2:
                    lot = self._lot()
                    self._given[actor.run.remote(lot)] = actor, lot

    def _say_idle(self) -> None:
        """Say it, once, where no process of the cluster is there for long."""
        if self._actors or self._idle_since is None:
            return
        waited = monotonic() - self._idle_since
        if waited < _PATIENCE:
            return
        self._idle_since = None
        free, every = (
            found().get("CPU", 0)
            for found in (self._ray.available_resources, self._ray.cluster_resources)
        )
        warnings.warn(
            f"the Ray cluster runs nothing of this sweep after {waited:.0f} s: {free:g} of its "
            f"{every:g} cores are free (others' work has them, or processes still start). The "
            "sweep waits; after Ctrl-C the same command goes on",
            UserWarning,
            stacklevel=2,
        )

    def _cores(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _lot(self) -> list[Unit]:
        """The next units, all of one piece."""
        most = min(MOST_UNITS, 1 + len(self._left) // (4 * len(self._actors)))
        first = self._left.popleft()
        lot = [first]
        while self._left and len(lot) < most and self._left[0][:2] == first[:2]:
            lot.append(self._left.popleft())
        return lot

    def _welcome(self, started: Any) -> None:
        """Give units to an actor that has started. Raises HedgespecError if several do not."""
        actor = self._starting.pop(started)
        try:
            self._ray.get(started)
        except self._ray.exceptions.RayActorError as fault:
            self._failures += 1
            if self._failures >= MOST_LOSSES:
                raise HedgespecError(f"processes of the cluster do not start: {fault}") from fault
            return
        self._actors.append(actor)
        self._idle_since = None

    def _take(self, answer: Any) -> Answer:
        actor, lot = self._given.pop(answer)
        errors = self._ray.exceptions
        try:
            found: Answer = self._ray.get(answer)
        except (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError) as fault:
            self._lose(actor, lot, fault)
            return []
        except errors.RayTaskError as fault:
            if isinstance(fault.cause, HedgespecError):
                raise fault.cause from None
            raise
        for unit, _ in found:
            self._report(unit, 0)
        return found

    def _lose(self, actor: Any, lot: list[Unit], fault: Exception) -> None:
        """Give what an actor had in hand to others."""
        self._left.extendleft(reversed(lot))
        self._losses.update(lot[:1])  # it was at the first, or at none
        if self._losses[lot[0]] >= MOST_LOSSES:
            raise HedgespecError(
                f"{MOST_LOSSES} processes of the cluster ended while they ran the "
                f"same work: out of memory? ({fault})"
            )
        self._actors = [one for one in self._actors if one is not actor]
        if not self._actors:
            self._idle_since = monotonic()


class _Actor:
    """A process of the cluster that runs units."""

    def __init__(self, parts: list[Any], folder: str):
        """`parts` holds a reference to them: what opens and compiles comes with the first units."""
        with suppress(OSError):  # of a shared file system, for what is named from there
            os.chdir(folder)
        self._reference = parts

    def ready(self) -> None:
        """Answers once the actor has started."""

    @cached_property
    def _parts(self) -> Sequence[Part]:
        import ray

        parts: Sequence[Part] = ray.get(self._reference[0])
        return parts

    @cached_property
    def _worker(self) -> Worker:
        parts = self._parts
        with _alone("tables"):  # they are in no selector's kernel
            best = as_chooser(BEST_FIXED)
            for exact in (True, False):
                job = Job(best, None, None, exact, 1)
                parts[0].trace_jobs(parts[0].sample.trace).run(job, lambda done: None)
        return Worker(parts, Shelf())

    def run(self, lot: list[Unit]) -> Answer:
        """Each unit with what it found."""
        return [(unit, self._found(unit)) for unit in lot]

    def _found(self, unit: Unit) -> list[Found]:
        worker = self._worker
        job = self._parts[unit.part].jobs[unit.job]
        kernel = _kernel(job)
        if kernel is not None and not is_compiled(kernel):
            with _alone(kept_name(kernel)):
                replayed(self._parts[unit.part].sample, job, job.runs[0])
        return worker.run(unit)


def _kernel(job: Job) -> Any:
    """The kernel of a learner that stands in a file, None of others."""
    if not isinstance(job.chooser, ConfiguredSelector) or not job.chooser.module:
        return None
    return exact_kernel(job.chooser) if job.exact else selector_kernel(job.chooser, job.feedback)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process of a node at a time: what it compiles the others find on disk."""
    folder = cache_folder()
    make_folder(folder)
    with open(Path(folder) / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
