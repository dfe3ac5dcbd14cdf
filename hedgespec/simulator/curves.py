"""Cumulated rounds and seconds along the answers, as the table of curves."""

from dataclasses import asdict

import numpy as np
import polars as pl

from hedgespec.results.keys import RunKey
from hedgespec.results.labels import questions
from hedgespec.results.schema import CURVES
from hedgespec.results.statistics import mean_band
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer

CURVE_POINTS = 64


class CurveGrid:
    """Cumulated rounds and seconds at a grid of token positions, per query."""

    def __init__(self, replayer: Replayer):
        offsets = replayer.trace.offsets
        longest = int(np.diff(offsets).max())
        self._questions = np.array(questions(replayer.trace.queries["query_id"].to_list()))
        self._positions = np.unique(np.linspace(0, longest, CURVE_POINTS).round().astype(np.int64))
        # A query that has ended keeps its final count, so the mean is over all queries everywhere.
        self._ends = np.minimum(offsets[:-1, None] + self._positions, offsets[1:, None])
        self._starts = offsets[:-1, None]
        self._base: dict[tuple[int | None, Replayer], np.ndarray] = {}

    def curves(self, run: Replay, best: Replay, costed: Replayer) -> np.ndarray:
        """Rounds and seconds, and how many more than those of `best`, (4, Q, G).

        `best` is the same for each seed. They are those of rounds that started before each grid
        position. Seconds are those of
        `costed`, the replayer under some costs; without costs they are NaN.
        """
        whose = best.seed, costed
        if whose not in self._base:
            self._base[whose] = self._before(best, costed)
        mine = self._base[whose] if run is best else self._before(run, costed)
        return np.concatenate([mine, mine - self._base[whose]])

    def _before(self, run: Replay, costed: Replayer) -> np.ndarray:
        return np.stack([self._cumulated(run.visits), self._cumulated(costed.seconds(run)[0])])

    def _cumulated(self, counts: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
        found: np.ndarray = sums[self._ends] - sums[self._starts]
        return found

    def table(self, key: RunKey, curves: list[np.ndarray]) -> pl.DataFrame:
        """Means over queries of `curves` of several seeds, the differences with their bands.

        Seeds are averaged first.
        """
        rounds, seconds, more_rounds, more_seconds = np.mean(curves, axis=0)
        low, high = mean_band(more_rounds, self._questions)
        seconds_low, seconds_high = mean_band(more_seconds, self._questions)
        return CURVES.made({
            **asdict(key), "position": self._positions, "rounds": rounds.mean(axis=0),
            "regret_rounds": more_rounds.mean(axis=0), "low": low, "high": high,
            "seconds": seconds.mean(axis=0), "regret_seconds": more_seconds.mean(axis=0),
            "seconds_low": seconds_low, "seconds_high": seconds_high})
