"""Runs selectors x settings x seeds over traces and turns the decisions into result tables."""

import platform
import shlex
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from hedgespec.bundled import costs_file, trace_folder
from hedgespec.command import command_line, package_versions
from hedgespec.costs.estimate import has_reads, together_seconds
from hedgespec.errors import HedgespecError, arg
from hedgespec.files import as_unicode, sha256_file
from hedgespec.results.labels import PoolLabel
from hedgespec.results.store import CostSource, Provenance, Results
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.simulator.basis import CostBasis, check_costs, cost_bases
from hedgespec.simulator.beside import Beside
from hedgespec.simulator.found import Found, in_turn, tables, together
from hedgespec.simulator.kept import KeptResults, Parked
from hedgespec.simulator.plan import Part, Unit, parts_of, wanted_pools
from hedgespec.simulator.runs import Job
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.work import Place, Shelf
from hedgespec.traces import Costs, TraceReader, load_manifest
from hedgespec.traces.bounds import width_of_bounds
from hedgespec.traces.schema import MANIFEST

_TOGETHER = 1.0  # seconds


def run_sweep(
    folders: Iterable[Path],
    settings: SweepSettings | Sequence[SweepSettings],
    progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    store: Path | KeptResults | None = None,
    ready: Callable[[], None] = lambda: None,
    place: Place | None = None,
) -> Results:
    """Run all jobs of one or several settings on every trace.

    `progress(label, done, total)` is called before each run. With a folder `store` the tables of
    each finished job are kept there, and not made again if they are there already. `ready` is
    called when all is checked, and may still refuse. `place` is where units of work run, None for
    this process and one beside it. Ctrl-C ends the sweep; the results so far come back with
    `complete` False. Of several settings the results of the first alone are in `first` too. Raises
    HedgespecError on bad input before anything runs; of traces that are too large for the memory
    only hashes are compared beforehand.
    """
    shelf = Shelf()
    planned = planned_sweep(folders, settings, shelf)
    parts = planned.parts
    ready()
    kept = store if isinstance(store, KeptResults) else KeptResults(store)
    results = _run_jobs(parts, progress, kept, place or Beside(shelf))
    results.provenance = _provenance(planned.inputs, planned.settings, results.complete)
    return results


@dataclass(frozen=True)
class Planned:
    """What a sweep reads, is asked for and does."""

    inputs: dict[Path, TraceReader]
    settings: list[SweepSettings]
    parts: list[Part]


def planned_sweep(
    folders: Iterable[Path], settings: SweepSettings | Sequence[SweepSettings], shelf: Shelf
) -> Planned:
    """A sweep, checked; what is read of traces stays on `shelf`. Raises HedgespecError as
    `run_sweep` does."""
    several = located(settings)
    check_costs([file for one in several for file in one.costs])
    common = [trace_folder(folder) for folder in folders]
    wanted = [list(one.traces) or common for one in several]
    inputs = {folder: TraceReader(folder) for folder in dict.fromkeys(chain(*wanted))}
    if not inputs:
        raise HedgespecError("there is nothing to run: no settings, or no traces")
    for chosen in [list(inputs), *wanted]:
        _check_names([inputs[folder] for folder in chosen])
    _check_pools(several, list(inputs.values()))
    for one, chosen in zip(several, wanted, strict=True):
        _check_answer(one.answer, [inputs[folder] for folder in chosen])
    parts = plan(inputs, several, common, shelf)
    _tell_bounds(inputs.values())
    _check_seeds(parts)
    return Planned(inputs, several, parts)


def plan(
    inputs: dict[Path, TraceReader], several: list[SweepSettings], common: list[Path], shelf: Shelf
) -> list[Part]:
    """The parts of a sweep, after all that is wrong with the traces was found: of one that fits
    into the memory all of it, of a larger one whether a hash is another."""
    parts = []
    for folder, source in inputs.items():
        whole = True
        for number, one in enumerate(several):
            if folder not in (one.traces or common):
                continue
            found = parts_of(source, one, first=number == 0)
            whole = whole and all(len(part.pieces) == 1 for part in found)
            parts += found
        if whole:
            shelf.read(source, source.pieces()[0], parts[-1].memory)
        else:
            source.check_hashes()
        source.forget()
    return parts


@dataclass
class Task:
    """A job of a part, by what its results are kept under; `missing` are its units to run."""

    part: Part
    job: Job
    key: str
    parked: Parked | None
    units: list[Unit]
    missing: set[Unit]
    results: Results | None = None

    @property
    def label(self) -> str:
        """How progress calls it."""
        return f"{self.part.sample.trace.name}  {self.job.chooser.label}"

    def take(self, unit: Unit, found: list[Found]) -> list[Found] | None:
        """What all units found, if this was the last."""
        self.missing.discard(unit)
        if self.parked is None:
            return found
        self.parked.save(_name(unit), found)
        return None if self.missing else self.merged()

    def merged(self) -> list[Found]:
        """What all units found."""
        assert self.parked is not None
        pieces: dict[int, list[Unit]] = {}
        for unit in self.units:
            pieces.setdefault(unit.piece, []).append(unit)
        made = []
        for number in range(len(self.part.bases)):
            found = [
                [self.parked.load(_name(unit), number) for unit in blocks]
                for blocks in pieces.values()
            ]
            made.append(
                together([in_turn([one for one in blocks if one is not None]) for blocks in found])
            )
        return made


class Finished:
    """Jobs whose tables are to be made: those of a second or so together, which takes less time."""

    def __init__(self, kept: KeptResults):
        self._kept = kept
        self._waiting: list[tuple[Task, list[Found]]] = []
        self._since = monotonic()

    def add(self, task: Task, found: list[Found]) -> None:
        """Take what all units of a job found."""
        self._waiting.append((task, found))
        if monotonic() - self._since > _TOGETHER:
            self.make()

    def make(self) -> None:
        """Make and keep the tables, those of a part together."""
        by_part: dict[int, list[tuple[Task, list[Found]]]] = {}
        for task, found in self._waiting:
            by_part.setdefault(id(task.part), []).append((task, found))
        for waiting in by_part.values():
            tasks = [task for task, _ in waiting]
            made = tables(tasks[0].part.source.queries, [found for _, found in waiting])
            self._kept.save(
                [(task.key, task.job, one) for task, one in zip(tasks, made, strict=True)]
            )
            for task, results in zip(tasks, made, strict=True):
                task.results = results
                if task.parked is not None:
                    task.parked.remove()
        self._waiting, self._since = [], monotonic()


def _name(unit: Unit) -> str:
    return f"{unit.piece}-{unit.block}"


def tasks_of(parts: list[Part], kept: KeptResults) -> dict[str, Task]:
    """Every different job of the parts, with the units that were not done before."""
    found: dict[str, Task] = {}
    for number, part in enumerate(parts):
        for place, job in enumerate(part.jobs):
            key = kept.key(part.identity, job)
            if key in found:
                continue
            units, results = part.units(number, place), kept.load(key)
            parked = kept.parked(key, job) if len(units) > 1 else None
            missing = (
                set()
                if results
                else {
                    unit for unit in units if parked is None or parked.load(_name(unit), 0) is None
                }
            )
            found[key] = Task(part, job, key, parked, units, missing, results)
    return found


def _run_jobs(
    parts: list[Part], progress: Callable[[str, int, int], None], kept: KeptResults, place: Place
) -> Results:
    tasks = tasks_of(parts, kept)
    by_job = {unit[:1] + unit[2:3]: task for task in tasks.values() for unit in task.units}
    runs = {
        unit: len(task.part.blocks(task.job)[unit.block])
        for task in tasks.values()
        for unit in task.units
    }
    units = [unit for task in tasks.values() for unit in task.units if unit in task.missing]
    done = sum(runs.values()) - sum(runs[unit] for unit in units)
    complete, finished = False, Finished(kept)

    def report(unit: Unit, begun: int) -> None:
        progress(by_job[unit.part, unit.job].label, done + begun, sum(runs.values()))

    try:
        for task in tasks.values():
            if task.results is None and not task.missing:
                finished.add(task, task.merged())
        for unit, parts_found in place.run(parts, sorted(units), report):
            task = by_job[unit.part, unit.job]
            found = task.take(unit, parts_found)
            done += runs[unit]
            if found is not None:
                finished.add(task, found)
        complete = True
    except KeyboardInterrupt:
        pass
    finally:
        finished.make()
    made = {key: task.results for key, task in tasks.items() if task.results is not None}
    first = {
        key: made[key]
        for part in parts
        if part.first
        for key in (kept.key(part.identity, job) for job in part.jobs)
        if key in made
    }
    return replace(
        Results.joined(list(made.values())),
        complete=complete,
        first=Results.joined(list(first.values())),
    )


def asked(folders: Iterable[Path], settings: SweepSettings | Sequence[SweepSettings]) -> Provenance:
    """What of a sweep's provenance is known before it runs: its settings, and the traces' names."""
    several, common = located(settings), [trace_folder(folder) for folder in folders]
    wanted = dict.fromkeys(chain(*(one.traces or common for one in several)))
    return {
        "settings": _described(several),
        "traces": [{"name": load_manifest(folder).name} for folder in wanted],
    }


def located(settings: SweepSettings | Sequence[SweepSettings]) -> list[SweepSettings]:
    """Each with the paths of bundled traces and costs for their names."""
    several = [settings] if isinstance(settings, SweepSettings) else settings
    return [
        replace(
            one,
            traces=tuple(map(trace_folder, one.traces)),
            costs=tuple(map(costs_file, one.costs)),
        )
        for one in several
    ]


def _described(settings: Sequence[SweepSettings]) -> list[dict[str, Any]]:
    return [{**one.described(), "seeds": f"0 to {one.seeds - 1}"} for one in settings]


def _tell_bounds(traces: Iterable[TraceReader]) -> None:
    """What is used of gamma where only its bounds are known."""
    for trace in traces:
        width = width_of_bounds(trace)
        if width is not None:
            warnings.warn(
                f"trace {trace.name}: gamma is known between bounds that are {width:.2g} apart on "
                "average; what needs it (estimators gamma and rb, loss accept, metasd-ucb, "
                "token_regret) uses their middle. Rounds, MAT and estimator realised need none",
                UserWarning,
                stacklevel=4,
            )


def _check_seeds(parts: list[Part]) -> None:
    """Refuse two numbers of seeds for one setting: its curves, means over seeds, would differ."""
    found: dict[tuple[object, ...], int] = {}
    for part in parts:
        replayer = part.sample
        for job in part.jobs:
            setting = (
                replayer.trace.name,
                replayer.draft_length,
                replayer.rule,
                replayer.carry,
                replayer.arms_asked,
                job.chooser.label,
                job.feedback or Feedback(),
                job.loss or Loss(),
                job.exact,
            )
            seeds = found.setdefault(setting, job.seeds)
            if seeds != job.seeds and not job.exact:
                raise HedgespecError(
                    f"trace {replayer.trace.name}: {job.chooser.label} with draft length "
                    f"{replayer.draft_length} is in two runs, with {seeds} and with {job.seeds} "
                    f"seeds; give both runs the same {arg('seeds')}"
                )


def _check_names(traces: list[TraceReader]) -> None:
    names = [trace.name for trace in traces]
    for name in names:
        if names.count(name) > 1:
            same = [str(trace.folder) for trace in traces if trace.name == name]
            copy = [
                "hedgespec",
                "subset",
                same[-1],
                "--name",
                f"{name}-2",
                "--out",
                f"{same[-1]}-2",
            ]
            remedy = (
                "give it once"
                if len(set(same)) < len(same)
                else f"copy one under another name: {shlex.join(copy)}"
            )
            raise HedgespecError(
                f"two traces are called {name!r}, {' and '.join(same[:2])}: results could not be "
                f"told apart; {remedy}"
            )


def _check_pools(several: list[SweepSettings], traces: list[TraceReader]) -> None:
    """A recorded trace may be called as a pool of another one is."""
    names = {trace.name for trace in traces}
    pools = {
        str(PoolLabel(name, *pool))
        for name in names
        for one in several
        for pool in wanted_pools(one)
    }
    if both := sorted(names & pools):
        raise HedgespecError(
            f"a pool of a trace and another trace are both called {both[0]!r}: "
            "results could not be told apart"
        )


def _check_answer(answer: str | None, traces: list[TraceReader]) -> None:
    if answer is not None and not any(
        answer in trace.queries["query_id"].to_list() for trace in traces
    ):
        raise HedgespecError(
            f"{arg('answer')}: no trace has a query {answer!r}; queries.parquet "
            "of a trace names them"
        )


def _provenance(
    inputs: dict[Path, TraceReader], settings: list[SweepSettings], complete: bool
) -> Provenance:
    """Everything needed to say which inputs, seeds and versions made the results."""
    return {
        "complete": complete,
        "command": command_line(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "traces": [
            {
                "name": trace.name,
                "folder": as_unicode(str(folder)),
                "manifest_sha256": sha256_file(folder / MANIFEST),
                "target": trace.manifest.target.id,
                "costs": _cost_sources(
                    trace, [one for one in settings if not one.traces or folder in one.traces]
                ),
            }
            for folder, trace in inputs.items()
        ],
        "settings": _described(settings),
        "versions": {
            **package_versions("numpy", "numba", "polars"),
            "python": platform.python_version(),
        },
    }


def _cost_sources(trace: TraceReader, settings: list[SweepSettings]) -> list[CostSource]:
    """Every costs that the settings of a trace name, as it is, whatever its pools' sizes."""
    bases = chain(*(cost_bases(trace, one.costs, one.batches, one.arms) for one in settings))
    found = {(basis.name, basis.batch): basis for basis in bases}
    return [_cost_source(basis, basis.costs) for basis in found.values() if basis.costs is not None]


def _cost_source(basis: CostBasis, costs: Costs) -> CostSource:
    """Whose seconds they are: device, dtype, and how all drafters' evaluation is counted."""
    alone = costs.evaluate_all is None and not costs.evaluate_together
    count = np.array(len(costs.drafters))
    return {
        "name": basis.name,
        "batch": basis.batch,
        "device": costs.device,
        "dtype": costs.dtype,
        "evaluation": "one by one" if alone else "in one batch",
        "drafters": {
            name: {"step": one.step, "begin": one.begin, "evaluate": one.evaluate}
            for name, one in costs.drafters.items()
        },
        "evaluate_all": None if alone else float(together_seconds(costs, count)),
        "reads": has_reads(costs),
        "engine": costs.engine,
        "context": costs.context,
        "sha256": basis.sha256,
    }
