"""Kernels compiled ahead, in a second process: the right ones, in a process that ends."""

import os
import pickle
import subprocess
import sys

import pytest

from hedgespec.simulator import compiling
from hedgespec.simulator.choosers import as_chooser
from hedgespec.simulator.compiling import Wanted, compile_wanted
from hedgespec.simulator.kernels import _compiled_copy, is_compiled
from hedgespec.simulator.runs import Job
from tests.helpers.synthetic import write_trace

JOBS = [
    Job(as_chooser("uniform"), None, None, True, 1),
    Job(as_chooser("fixed:a"), None, None, True, 1),
    Job(as_chooser("epsilon-greedy"), None, None, False, 1),
]
EXACT, REPLAYED = Wanted("uniform", None, True), Wanted("epsilon-greedy", None, False)


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """A trace's folder, with no kernel compiled."""
    write_trace(tmp_path / "trace")
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / "cache"))
    _compiled_copy.cache_clear()
    yield tmp_path / "trace"
    _compiled_copy.cache_clear()


def compiled() -> list[bool]:
    return [is_compiled(EXACT.kernel), is_compiled(REPLAYED.kernel)]


@pytest.mark.slow
def test_a_second_process_compiles_what_the_sweep_will_load(trace):
    assert compiling.missing_kernels(JOBS * 2) == [EXACT, REPLAYED]
    subprocess.run(
        [sys.executable, "-m", "hedgespec.simulator.beside"],
        check=True,
        input=pickle.dumps((os.getpid(), trace, [REPLAYED, EXACT])) + pickle.dumps([]),
    )
    assert compiled() == [True, True]
    assert compiling.missing_kernels(JOBS) == []


@pytest.mark.slow
def test_it_stops_where_the_sweep_has_been_or_is_no_more(trace):
    compile_wanted(os.getppid(), trace, [REPLAYED])
    compile_wanted(os.getppid() - 1, trace, [EXACT])
    assert compiled() == [False, True]
    compile_wanted(os.getppid(), trace, [REPLAYED, EXACT])
    assert compiled() == [False, True]
