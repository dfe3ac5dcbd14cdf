"""A changed copy of a trace or of results is read: what came of it. Other errors are raised."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from hedgespec.analysis.report_tables import domain_tables, settings_data
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.errors import HedgespecError
from hedgespec.rules import verification_rule
from hedgespec.simulator import Replayer
from hedgespec.traces import read_trace
from tests.helpers.mutations import mutated
from tests.helpers.seals import seal_results, seal_trace


def of_trace(source: Path, folder: Path, seed: int) -> str:
    """Read and replay a changed copy of a trace; what came of it."""
    return _tried(source, folder, seed, seal_trace, _replay)


def of_results(source: Path, folder: Path, seed: int) -> str:
    """Read a changed copy of results as a report does; what came of it."""
    return _tried(source, folder, seed, seal_results, _tabulate)


def _tried(
    source: Path,
    folder: Path,
    seed: int,
    seal: Callable[[Path], None],
    read: Callable[[Path], None],
) -> str:
    """The changed file, and whether its folder was read or refused. Raises what is no answer."""
    shutil.copytree(source, folder)
    name = mutated(folder, Random(seed), seal)
    told = ""
    try:
        read(folder)
    except HedgespecError as error:
        told = str(error)
    finally:
        shutil.rmtree(folder)
    assert len(told.splitlines()) <= 1, (seed, told)
    assert len(told) < 2000, seed
    return f"{name} {'refused' if told else 'read'}"


def _replay(folder: Path) -> None:
    trace = read_trace(folder)
    for rule in trace.manifest.rules:
        verification_rule(rule.name, trace)
    Replayer(trace).run_exact("best-fixed")


def _tabulate(folder: Path) -> None:
    run = ResultSet(folder)
    study = Study.of(run, [], [], None)
    assert list(domain_tables(study))
    for trace in run.traces:
        settings_data(study, trace)
