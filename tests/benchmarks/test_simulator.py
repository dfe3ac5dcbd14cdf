"""The benchmark of the kernels compares equal decisions."""

import importlib
from pathlib import Path

import pytest

from hedgespec.simulator import Replayer

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", ["hedge", "ucbspec"])
def test_learners_in_numpy_decide_as_the_kernels(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    bench = importlib.import_module("simulator")
    monkeypatch.setattr(bench, "NUMPY_QUERIES", 1)
    replayer = Replayer(bench.synthetic_trace(queries=1))
    rounds, _ = bench.numpy_replay(replayer, bench.IN_NUMPY[name])
    assert rounds == (bench.replay_of(replayer, name).choice >= 0).sum()
