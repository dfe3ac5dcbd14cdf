"""Cumulated rounds and seconds along the answers, as the table of curves."""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from hedgespec.results.keys import RunKey
from hedgespec.results.labels import questions
from hedgespec.results.statistics import mean_band
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer

CURVE_POINTS = 64


class CurveGrid:
    """Cumulated rounds and seconds at a grid of token positions, per query."""

    def __init__(self, replayer: Replayer):
        lengths = np.diff(replayer.trace.offsets)
        # A query that has ended keeps its final count, so the mean is over all queries everywhere.
        self._places = np.minimum(grid(replayer.in_whole.trace.queries), lengths[:, None])
        self._replayer = replayer
        self._base: dict[tuple[int | None, Replayer], np.ndarray] = {}

    def curves(self, run: Replay, spent: np.ndarray, best: Replay, costed: Replayer) -> np.ndarray:
        """Rounds and seconds, and how many more than those of `best`, (4, Q, G).

        `best` is the same for each seed. They are those of rounds that started before each grid
        position. Seconds are those `spent` (T) under the costs of `costed`; without costs they are
        NaN.
        """
        whose = best.seed, costed
        if whose not in self._base:
            self._base[whose] = self._before(best, costed.seconds(best)[0])
        mine = self._base[whose] if run is best else self._before(run, spent)
        return np.concatenate([mine, mine - self._base[whose]])

    def _before(self, run: Replay, spent: np.ndarray) -> np.ndarray:
        return np.stack(
            [self._replayer.running_sums(values, self._places) for values in (run.visits, spent)]
        )


def grid(queries: pl.DataFrame) -> np.ndarray:
    """The token positions (G) of a trace's curves."""
    longest = int(queries["output_tokens"].cast(pl.Int64).max())  # type: ignore[arg-type]
    return np.unique(np.linspace(0, longest, CURVE_POINTS).round().astype(np.int64))


def curve_columns(key: RunKey, queries: pl.DataFrame, curves: np.ndarray) -> dict[str, Any]:
    """Columns of the table CURVES: means over a trace's queries of `curves` (4, Q, G), those of
    several seeds averaged; the differences with their bands."""
    question = np.array(questions(queries["query_id"].to_list()))
    rounds, seconds, more_rounds, more_seconds = curves
    low, high = mean_band(more_rounds, question)
    seconds_low, seconds_high = mean_band(more_seconds, question)
    return {
        **asdict(key),
        "position": grid(queries),
        "rounds": rounds.mean(axis=0),
        "regret_rounds": more_rounds.mean(axis=0),
        "low": low,
        "high": high,
        "seconds": seconds.mean(axis=0),
        "regret_seconds": more_seconds.mean(axis=0),
        "seconds_low": seconds_low,
        "seconds_high": seconds_high,
    }
