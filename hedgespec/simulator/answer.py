"""One answer of a trace in detail: who drafted which token, with which weights."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import polars as pl

from hedgespec.results.keys import RunKey
from hedgespec.results.labels import NONE
from hedgespec.results.schema import ANSWER, QUERY_NAMES, WEIGHT_OF
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer


def gains_of_switching(gamma: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """What changing the drafter once would add to the sum of gamma (T, N) at most, (Q)."""
    gains = []
    for begin, end in pairwise(offsets):
        until = np.cumsum(gamma[begin:end], axis=0, dtype=np.float64)
        changed = until.max(axis=1) + (until[-1] - until).max(axis=1)
        gains.append(changed.max() - until[-1].max())
    return np.array(gains)


def rounds_of(replayer: Replayer, run: Replay) -> dict[str, pl.Series]:
    """Of each query the rounds of one replay, as columns of `PER_QUERY`: tokens, arm, and how
    probable the arm was, if that is known."""
    offsets, names = replayer.trace.offsets, replayer.arms.names
    choice = np.concatenate([replayer.one_replay(run, query) for query in range(len(offsets) - 1)])
    starts = np.flatnonzero(choice >= 0)
    arm, query = choice[starts], np.searchsorted(offsets, starts, side="right") - 1
    found: dict[str, object] = {
        "round_tokens": np.minimum(np.append(starts[1:], offsets[-1]), offsets[query + 1]) - starts,
        "round_drafter": pl.Series(names).gather(arm.astype(np.uint32)),
    }
    if run.plays is not None and run.plays.ndim == 2:
        found["round_weight"] = run.plays[starts, arm].round(2)
    return (
        pl.DataFrame({"query": query, **found})
        .group_by("query", maintain_order=True)
        .agg(pl.exclude("query"))
        .drop("query")
        .to_dict()
    )


def answer_table(replayer: Replayer, key: RunKey, run: Replay, query: int) -> pl.DataFrame:
    """The table `ANSWER`: a row per token of the query in one replay."""
    trace, names = replayer.trace, replayer.arms.names
    shown = [*names, NONE]  # `one_replay` takes N for no drafter
    begin, end = trace.offsets[query : query + 2].tolist()
    gamma = np.pad(replayer.first_gamma[begin:end], ((0, 0), (0, 1)))
    choice = replayer.one_replay(run, query)
    starts = np.flatnonzero(choice >= 0)
    number = np.searchsorted(starts, np.arange(end - begin), side="right") - 1
    arm = choice[starts][number]
    weights: dict[str, np.ndarray] = {}
    if run.plays is not None and run.plays.ndim == 2 and run.drafts:
        weights = {f"{WEIGHT_OF}{name}": run.plays[begin:end, i] for i, name in enumerate(names)}
    return ANSWER.made(
        {
            **asdict(key),
            **trace.queries.select(QUERY_NAMES).row(query, named=True),
            "position": np.arange(end - begin),
            "token": trace.tokens[begin:end],
            "round": number,
            "drafter": pl.Series(shown).gather(arm.astype(np.uint32)),
            "gamma": gamma[np.arange(end - begin), arm],
            **weights,
        }
    )
