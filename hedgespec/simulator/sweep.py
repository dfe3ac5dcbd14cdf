"""Runs selectors x settings x seeds over traces and turns the decisions into result tables."""

import platform
import shlex
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np

from hedgespec.bundled import costs_file, trace_folder
from hedgespec.command import command_line
from hedgespec.errors import HedgespecError, arg
from hedgespec.files import as_unicode, sha256_file
from hedgespec.results.labels import PoolLabel
from hedgespec.results.store import CostSource, Provenance, Results
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.simulator.basis import CostBasis, check_costs, cost_bases
from hedgespec.simulator.compiling import compiling
from hedgespec.simulator.kept import KeptResults
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.runs import Job, TraceJobs, jobs_of
from hedgespec.simulator.settings import SweepSettings
from hedgespec.traces import Costs, Trace, load_manifest, read_trace
from hedgespec.traces.resize_pool import resize_pool
from hedgespec.traces.schema import BOUNDS, MANIFEST, optional_column
from hedgespec.version import __version__


def run_sweep(
    folders: Iterable[Path],
    settings: SweepSettings | Sequence[SweepSettings],
    progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    store: Path | KeptResults | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Results:
    """Run all jobs of one or several settings on every trace.

    `progress(label, done, total)` is called before each run. With a folder `store` the tables of
    each finished job are kept there, and not made again if they are there already. `ready` is
    called when all is checked, and may still refuse. Ctrl-C ends the sweep; the results so far come
    back with `complete` False. Of several settings the results of the first alone are in `first`
    too. Raises HedgespecError on bad input before anything runs.
    """
    several = _located(settings)
    check_costs([file for one in several for file in one.costs])
    common = [trace_folder(folder) for folder in folders]
    wanted = [list(one.traces) or common for one in several]
    inputs = {folder: read_trace(folder) for folder in dict.fromkeys(chain(*wanted))}
    if not inputs:
        raise HedgespecError("there is nothing to run: no settings, or no traces")
    _tell_bounds(list(inputs.values()))
    for together in [list(inputs), *wanted]:
        _check_names([inputs[folder] for folder in together])
    _check_pools(several, list(inputs.values()))
    for one, chosen in zip(several, wanted, strict=True):
        _check_answer(one.answer, [inputs[folder] for folder in chosen])
    plan = [replace(part, first=number == 0)
            for folder, trace in inputs.items()
            for number, one in enumerate(several) if folder in wanted[number]
            for part in _plan(folder, trace, one)]
    _check_seeds(plan)
    jobs = [job for part in plan for job in part.jobs]
    ready()
    kept = store if isinstance(store, KeptResults) else KeptResults(store)
    with compiling(next(iter(inputs)), jobs, max(one.threads for one in several)):
        results = _run_jobs(plan, progress, kept)
    results.provenance = _provenance(inputs, several, results.complete)
    return results


@dataclass(frozen=True)
class _Part:
    """The jobs of one trace and draft length; `identity` says what else shapes their results.

    `answer` is the id of the query shown in detail; `first` says whether they belong to the first
    settings of the sweep.
    """

    replayer: Replayer
    bases: list[CostBasis]
    jobs: list[Job]
    identity: list[object]
    answer: str | None = None
    first: bool = True


def _run_jobs(
    plan: list[_Part], progress: Callable[[str, int, int], None], kept: KeptResults
) -> Results:
    total = sum(len(job.runs) for part in plan for job in part.jobs)
    done = 0
    parts: dict[str, Results] = {}
    first: dict[str, Results] = {}
    complete = False
    try:
        while plan:
            part = plan.pop(0)  # its tables are freed when it is done
            runner = TraceJobs(part.replayer, part.bases, part.answer, part.first)
            for job in part.jobs:
                name = f"{part.replayer.trace.name}  {job.chooser.label}"
                key = kept.key(part.identity, job)
                if key not in parts:
                    found = kept.load(key)
                    parts[key] = found or runner.run(
                        job, partial(_report_run, progress, name, total, done))
                    if found is None:
                        kept.save(key, job, parts[key])
                if part.first:
                    first[key] = parts[key]
                done += len(job.runs)
        complete = True
    except KeyboardInterrupt:
        pass
    return replace(Results.joined(list(parts.values())), complete=complete,
                   first=Results.joined(list(first.values())))


def _report_run(progress: Callable[[str, int, int], None], name: str, total: int, before: int,
                run: int) -> None:
    progress(name, before + run, total)


def _plan(folder: Path, trace: Trace, settings: SweepSettings) -> list[_Part]:
    """What runs on a trace, for each pool, rule and draft length."""
    bases = cost_bases(trace, settings.costs, settings.batches, settings.arms)
    made = [sha256_file(folder / MANIFEST), [asdict(basis) for basis in bases], settings.answer]
    pools: dict[tuple[int, int] | None, Trace] = {
        (size, seed): resize_pool(trace, size, seed)
        for size, seed in _pools(settings)} or {None: trace}
    plan = []
    for (pool, resized), rule, length in product(pools.items(),
                                                 dict.fromkeys(settings.rules) or ["auto"],
                                                 dict.fromkeys(settings.draft_lengths) or [None]):
        replayer = Replayer(resized, length, rule, settings.threads, settings.carry,
                            settings.arm_lengths, settings.arms)
        _check_copies(trace, resized, replayer)
        own = bases if pool is None else [CostBasis()]  # pools of other sizes have no costs
        least = min(own, key=lambda basis: basis.costs is not None)  # what has none is refused
        plan.append(_Part(replayer, own, jobs_of(replayer.under(least.costs), settings), [
            *made, pool, replayer.draft_length, replayer.rule, settings.carry,
            settings.arm_lengths, settings.arms], settings.answer))
    return plan


def _pools(settings: SweepSettings) -> list[tuple[int, int]]:
    """Sizes and seeds of the pools that are asked for."""
    if settings.pool_seeds and not settings.pools:
        raise HedgespecError(f"{arg('pool_seeds')} draw the drafters of {arg('pools')}: give both")
    return list(product(settings.pools, settings.pool_seeds or [0]))


def _check_copies(trace: Trace, resized: Trace, replayer: Replayer) -> None:
    """Weakened copies have c times the gamma and a of their originals: enough for few rules."""
    size = len(resized.manifest.drafters)
    enough = all(rule.label == "sampling" or rule.recorded for rule in replayer.arms.rules)
    if size > len(trace.manifest.drafters) and not enough:
        raise HedgespecError(f"{arg('pools', size)}: weakened copies of drafters have no "
                             f"statistics of rule {replayer.rule}; use "
                             f"{arg('rules', ['sampling'])}")


def asked(
    folders: Iterable[Path], settings: SweepSettings | Sequence[SweepSettings]
) -> Provenance:
    """What of a sweep's provenance is known before it runs: its settings, and the traces' names."""
    several, common = _located(settings), [trace_folder(folder) for folder in folders]
    wanted = dict.fromkeys(chain(*(one.traces or common for one in several)))
    return {"settings": _described(several),
            "traces": [{"name": load_manifest(folder).name} for folder in wanted]}


def _located(settings: SweepSettings | Sequence[SweepSettings]) -> list[SweepSettings]:
    """Each with the paths of bundled traces and costs for their names."""
    several = [settings] if isinstance(settings, SweepSettings) else settings
    return [replace(one, traces=tuple(map(trace_folder, one.traces)),
                    costs=tuple(map(costs_file, one.costs)))
            for one in several]


def _described(settings: Sequence[SweepSettings]) -> list[dict[str, Any]]:
    return [{**one.described(), "seeds": f"0 to {one.seeds - 1}"} for one in settings]


def _tell_bounds(traces: list[Trace]) -> None:
    """What is used of gamma where only its bounds are known."""
    for trace in traces:
        widths = [trace.optional[optional_column(high, info.name)]
                  - trace.optional[optional_column(low, info.name)]
                  for low, high in [BOUNDS] for info in trace.manifest.drafters
                  if low in info.statistics]
        if widths:
            warnings.warn(
                f"trace {trace.name}: gamma is known between bounds that are "
                f"{float(np.mean(widths)):.2g} apart on average; what needs it (estimators gamma "
                "and rb, loss accept, metasd-ucb, token_regret) uses their middle. Rounds, MAT and "
                "estimator realised need none", UserWarning, stacklevel=3)


def _check_seeds(plan: list[_Part]) -> None:
    """Refuse two numbers of seeds for one setting: its curves, means over seeds, would differ."""
    found: dict[tuple[object, ...], int] = {}
    for part in plan:
        replayer = part.replayer
        for job in part.jobs:
            setting = (replayer.trace.name, replayer.draft_length, replayer.rule, replayer.carry,
                       replayer.arms_asked, job.chooser.label, job.feedback or Feedback(),
                       job.loss or Loss(), job.exact)
            seeds = found.setdefault(setting, job.seeds)
            if seeds != job.seeds and not job.exact:
                raise HedgespecError(
                    f"trace {replayer.trace.name}: {job.chooser.label} with draft length "
                    f"{replayer.draft_length} is in two runs, with {seeds} and with {job.seeds} "
                    f"seeds; give both runs the same {arg('seeds')}")


def _check_names(traces: list[Trace]) -> None:
    names = [trace.name for trace in traces]
    for name in names:
        if names.count(name) > 1:
            same = [str(trace.folder) for trace in traces if trace.name == name]
            copy = ["hedgespec", "subset", same[-1], "--name", f"{name}-2", "--out",
                    f"{same[-1]}-2"]
            remedy = ("give it once" if len(set(same)) < len(same) else
                      f"copy one under another name: {shlex.join(copy)}")
            raise HedgespecError(
                f"two traces are called {name!r}, {' and '.join(same[:2])}: results could not be "
                f"told apart; {remedy}")


def _check_pools(several: list[SweepSettings], traces: list[Trace]) -> None:
    """A recorded trace may be called as a pool of another one is."""
    names = {trace.name for trace in traces}
    pools = {str(PoolLabel(name, *pool)) for name in names for one in several
             for pool in _pools(one)}
    if both := sorted(names & pools):
        raise HedgespecError(f"a pool of a trace and another trace are both called {both[0]!r}: "
                             "results could not be told apart")


def _check_answer(answer: str | None, traces: list[Trace]) -> None:
    if answer is not None and not any(
            answer in trace.queries["query_id"].to_list() for trace in traces):
        raise HedgespecError(f"{arg('answer')}: no trace has a query {answer!r}; queries.parquet "
                             "of a trace names them")


def _provenance(
    inputs: dict[Path, Trace], settings: list[SweepSettings], complete: bool
) -> Provenance:
    """Everything needed to say which inputs, seeds and versions made the results."""
    return {
        "complete": complete,
        "command": command_line(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "traces": [
            {"name": trace.name, "folder": as_unicode(str(folder)),
             "manifest_sha256": sha256_file(folder / MANIFEST),
             "target": trace.manifest.target.id,
             "costs": _cost_sources(trace, [one for one in settings
                                            if not one.traces or folder in one.traces])}
            for folder, trace in inputs.items()
        ],
        "settings": _described(settings),
        "versions": {"hedgespec": __version__, "python": platform.python_version(),
                     **{name: version(name) for name in ("numpy", "numba", "polars")}},
    }


def _cost_sources(trace: Trace, settings: list[SweepSettings]) -> list[CostSource]:
    """Every costs that the settings of a trace name, as it is, whatever its pools' sizes."""
    bases = chain(*(cost_bases(trace, one.costs, one.batches, one.arms) for one in settings))
    found = {(basis.name, basis.batch): basis for basis in bases}
    return [_cost_source(basis, basis.costs) for basis in found.values() if basis.costs is not None]


def _cost_source(basis: CostBasis, costs: Costs) -> CostSource:
    """Whose seconds they are: device, dtype, and how all drafters' evaluation is counted."""
    alone = costs.evaluate_all is None and not costs.evaluate_together
    return {"name": basis.name, "batch": basis.batch, "device": costs.device, "dtype": costs.dtype,
            "evaluation": "one by one" if alone else "in one batch", "engine": costs.engine,
            "context": costs.context, "sha256": basis.sha256}
