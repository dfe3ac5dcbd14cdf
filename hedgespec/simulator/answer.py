"""One answer of a trace in detail: who drafted which token, with which weights."""

from itertools import pairwise

import numpy as np
import polars as pl

from hedgespec.simulator.replayer import Replay, Replayer


def most_switching(gamma: np.ndarray, offsets: np.ndarray) -> int:
    """The query in which changing the drafter once would add most to the sum of gamma (T, N)."""
    gains = []
    for begin, end in pairwise(offsets):
        until = np.cumsum(gamma[begin:end], axis=0, dtype=np.float64)
        changed = until.max(axis=1) + (until[-1] - until).max(axis=1)
        gains.append(changed.max() - until[-1].max())
    return int(np.argmax(gains))


def answer_table(replayer: Replayer, run: Replay, query: int, gamma: np.ndarray) -> pl.DataFrame:
    """A row per token of the query in one replay; `gamma` (T, N). Columns: docs/results.md."""
    trace, names = replayer.trace, replayer.arms.names
    begin, end = trace.offsets[query : query + 2].tolist()
    choice = replayer.one_replay(run, query)
    starts = np.flatnonzero(choice >= 0)
    number = np.searchsorted(starts, np.arange(end - begin), side="right") - 1
    arm = choice[starts][number]
    weights: dict[str, pl.Series] = {}
    if run.plays is not None and run.plays.ndim == 2:
        weights = {f"weight/{name}": pl.Series(run.plays[begin:end, i], dtype=pl.Float32)
                   for i, name in enumerate(names)}
    row = trace.queries.row(query, named=True)
    return pl.DataFrame({
        **{name: pl.repeat(row[name], end - begin, dtype=dtype, eager=True)
           for name, dtype in trace.queries.select("query", "query_id", "domain").schema.items()},
        "position": np.arange(end - begin, dtype=np.int32),
        "token": trace.tokens[begin:end].astype(np.uint32),
        "round": number.astype(np.int32),
        "drafter": pl.Series(names).gather(arm.astype(np.uint32)),
        "gamma": gamma[np.arange(begin, end), arm].astype(np.float32), **weights,
    })
