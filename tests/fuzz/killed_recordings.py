"""A recording that is killed and resumed, perhaps twice, is the one that was left alone."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError
from hedgespec.traces import read_trace
from tests.fuzz.killing import run, run_killed, seconds_of
from tests.helpers.synthetic import write_trace

SCRIPT = "import sys; from tests.fuzz.killed_recordings import record; record(*sys.argv[1:])"
BATCHES = 40


def record(source: str, folder: str) -> None:
    """Write the trace `source` again, a query a batch, going on where it was."""
    from hedgespec.traces import TraceWriter

    trace = read_trace(Path(source))
    tokens = pl.read_parquet(Path(source) / "tokens-00000.parquet")
    writer = TraceWriter(Path(folder), {"source": "fuzz"}, resume=True)
    for query in range(len(trace.queries)):
        if (name := f"{query:06d}") not in writer.finished_batches():
            writer.write_batch(
                name,
                trace.queries.filter(pl.col("query") == query),
                tokens.filter(pl.col("query") == query),
            )
    writer.finish(trace.manifest)


@cache
def _usual(source: Path, folder: Path) -> float:
    return seconds_of("-c", SCRIPT, str(source), str(folder))


def trial(rng: np.random.Generator, folder: Path) -> str:
    """Kill it up to three times, then let it end."""
    source, out = folder / "source", folder / "out"
    trace = write_trace(source, lengths=tuple(rng.integers(1, 9, BATCHES).tolist()))
    usual = _usual(source, folder / "usual")
    killed = 0
    for _ in range(rng.integers(1, 4)):
        killed += run_killed(rng.uniform(0.3, 1.0) * usual, "-c", SCRIPT, str(source), str(out))
        if (out / "manifest.json").exists():
            break
        try:
            read_trace(out)
        except HedgespecError:
            continue
        raise AssertionError("a recording that is not finished can be read")
    if not (out / "manifest.json").exists():
        done = run("-c", SCRIPT, str(source), str(out))
        assert done.returncode == 0, done.stderr[-500:]
    found = read_trace(out)
    np.testing.assert_array_equal(found.tokens, trace.tokens)
    np.testing.assert_array_equal(found.log_q, trace.log_q)
    assert found.queries.equals(trace.queries)
    return "whole" if killed else "not killed in time"
