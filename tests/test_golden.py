"""Golden numbers of the bundled traces. They change only if the traces or the science change."""

import pytest

from hedgespec.bundled import bundled_traces
from hedgespec.simulator import Results, SweepSettings, run_sweep

# Rounds of seed 0, K = 5; made by `hedgespec sim --seeds 1 --mode replayed`.
GOLDEN = {
    "spec-bench-t0": {
        "fixed:early-exit-15": 145660,
        "fixed:early-exit-20": 129462,
        "fixed:early-exit-25": 83853,
        "fixed:early-exit-28": 66938,
        "fixed:prompt-lookup": 57320,
        "fixed:ngram": 56877,
        "best-fixed": 50313,
        "oracle": 40333,
        "uniform": 70468,
        "hedge": 50890,
        "normalhedge": 50143,
        "ucbspec": 54952,
        "exp3spec": 60007,
    },
    "spec-bench-t1": {
        "fixed:early-exit-15": 153992,
        "fixed:early-exit-20": 148037,
        "fixed:early-exit-25": 125726,
        "fixed:early-exit-28": 111102,
        "fixed:prompt-lookup": 154319,
        "fixed:ngram": 149053,
        "best-fixed": 110853,
        "oracle": 102680,
        "uniform": 136977,
        "hedge": 116992,
        "normalhedge": 112416,
        "ucbspec": 132903,
        "exp3spec": 134370,
    },
}


@pytest.fixture(scope="module")
def results() -> Results:
    return run_sweep(bundled_traces(), SweepSettings(seeds=1, threads=2, mode="replayed"))


@pytest.mark.parametrize("trace", GOLDEN)
def test_rounds_of_every_selector(results, trace):
    found = {row["selector"]: row["rounds"] for row in results.summary.iter_rows(named=True)
             if row["trace"] == trace}
    assert found == GOLDEN[trace]


def test_the_papers_order_holds_on_real_text(results):
    """Full information above bandits above chance; nobody above the switching oracle."""
    for (trace,), rows in results.summary.group_by("trace"):
        mat = dict(zip(rows["selector"], rows["mat"], strict=True))
        assert mat["oracle"] > mat["normalhedge"] > mat["hedge"] > mat["ucbspec"], trace
        assert mat["ucbspec"] > mat["exp3spec"] > mat["uniform"], trace
        best = max(value for name, value in mat.items() if name.startswith("fixed:"))
        assert mat["best-fixed"] >= best, trace
