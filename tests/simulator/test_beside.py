"""A second process beside the sweep's: the same tables, and nothing lost with it."""

import pickle
import signal
import subprocess
import warnings
from dataclasses import replace
from io import BytesIO

import pytest

from hedgespec.simulator import beside
from hedgespec.simulator.kernels import _compiled_copy
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.sweep import run_sweep
from hedgespec.simulator.work import Here
from tests.helpers.synthetic import write_trace

SETTINGS = SweepSettings(
    selectors=("hedge", "ucbspec", "uniform", "best-fixed"),
    seeds=3,
    draft_lengths=(1, 2, 3),
    threads=2,
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two traces; few units are enough for a second process."""
    monkeypatch.setattr(beside, "WORTH_IT", 2)
    for name in ("one", "other"):
        write_trace(tmp_path / name, name=name)
    return [tmp_path / "one", tmp_path / "other"]


@pytest.fixture
def processes(monkeypatch):
    """The second processes that were started."""
    started = []

    class Watched(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(beside.subprocess, "Popen", Watched)
    return started


def same(found, expected):
    for name in ("summary", "per_query", "curves"):
        tables = [
            frame.drop("rounds_per_second", strict=False)
            for frame in (getattr(found, name), getattr(expected, name))
        ]
        assert tables[0].equals(tables[1], null_equal=True), name


@pytest.mark.slow
def test_tables_are_those_of_one_process(folders, processes, monkeypatch):
    """The second process is waited for: it runs them all."""
    expected = run_sweep(folders, SETTINGS, place=Here())
    assert not processes
    monkeypatch.setattr(beside._Second, "next_here", lambda self: None)
    found = run_sweep(folders, SETTINGS)
    assert len(processes) == 1
    assert processes[0].returncode is not None
    same(found, expected)
    assert found.complete


@pytest.mark.slow
def test_a_process_that_runs_no_units_compiles(folders, processes, monkeypatch):
    expected = run_sweep(folders, SETTINGS, place=Here())
    monkeypatch.setattr(beside, "KERNELS_WORTH_IT", 0)
    monkeypatch.setattr(beside, "_is_worth_it", lambda *_: False)
    monkeypatch.setattr(beside._Second, "_take_lot", lambda self: pytest.fail("no units for it"))
    same(run_sweep(folders, SETTINGS), expected)
    assert len(processes) == 1


@pytest.mark.slow
def test_units_of_a_process_that_dies_are_done_here(folders, processes, monkeypatch):
    expected = run_sweep(folders, SETTINGS, place=Here())
    own = beside._Second._take_lot

    def killed(self):
        lot = own(self)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        return lot

    monkeypatch.setattr(beside._Second, "_take_lot", killed)
    same(run_sweep(folders, SETTINGS), expected)


def test_what_it_warns_of_comes_with_what_it_found(tmp_path, monkeypatch):
    class Telling:
        def __init__(self, parts, shelf):
            assert parts == []

        def run(self, unit):
            warnings.warn(f"of {unit}", UserWarning, stacklevel=1)
            return [unit]

    monkeypatch.setattr(beside, "Worker", Telling)
    monkeypatch.setattr(beside, "signal", lambda *_: None)
    monkeypatch.setattr(beside, "compile_wanted", lambda *_: None)
    given = (0, tmp_path, []), [], ["a unit", "another"]
    read, write = BytesIO(b"".join(map(pickle.dumps, given))), BytesIO()
    beside.serve(read, write)
    write.seek(0)
    assert pickle.load(write) is None, "it is ready"
    found, told = pickle.load(write)
    assert found == [("a unit", ["a unit"]), ("another", ["another"])]
    assert [str(one.message) for one in told] == ["of a unit", "of another"]


@pytest.mark.parametrize(
    ("threads", "units", "kernels", "started"),
    [(2, 2, 99, 1), (2, 10**6, 99, 0), (1, 2, 99, 0), (2, 10**6, 2, 1), (1, 10**6, 2, 0)],
)
def test_the_process_ends_with_the_sweep(
    folders, processes, monkeypatch, tmp_path, request, threads, units, kernels, started
):
    """It is started for many units, or for many kernels that are not compiled."""
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / "cache"))
    _compiled_copy.cache_clear()
    request.addfinalizer(_compiled_copy.cache_clear)
    monkeypatch.setattr(beside, "WORTH_IT", units)
    monkeypatch.setattr(beside, "KERNELS_WORTH_IT", kernels)

    def interrupted(label, done, total):
        raise KeyboardInterrupt

    found = run_sweep(folders, replace(SETTINGS, threads=threads), interrupted)
    assert not found.complete
    assert len(processes) == started
    assert all(process.returncode is not None for process in processes)


def test_traces_that_do_not_fit_twice_and_learners_that_cannot_travel_stay_here(folders):
    from hedgespec.simulator.sweep import planned_sweep
    from hedgespec.simulator.work import Shelf

    parts = planned_sweep(folders, SETTINGS, Shelf()).parts
    units = [unit for number, part in enumerate(parts) for unit in part.units(number, 0)]
    assert beside._is_worth_it(parts, units, [])
    assert beside._pickled(parts) is not None
    parts[0]._tokens = 2 * parts[0].source.manifest.tokens - 1
    assert not beside._is_worth_it(parts, units, [])
    parts[0].made = [lambda: None]
    assert beside._pickled(parts) is None
