"""Intervals, paired differences and corrections; the query is the unit, never the token.

Queries are drawn with replacement. Every statistic of a table uses the same draws, so differences
between selectors are paired by query; a fixed seed makes reports reproducible.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DRAWS = 20_000  # a two-sided p can be as small as 1 / 10,000, so Holm has room for 500 tests
LEVEL = 0.95
SMALL = 20  # percentile intervals of fewer queries are noticeably too narrow
_CHUNK = 2_000_000  # numbers drawn at a time


@dataclass(frozen=True)
class Estimate:
    """Values (M) with the ends of their intervals (M) and two-sided p against zero (M).

    `low`, `high` and `p` are NaN where one query or none leaves nothing to draw from.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    queries: int

    @property
    def certain(self) -> np.ndarray:
        """Where the interval excludes zero (M), not corrected for the number of comparisons."""
        found: np.ndarray = (self.low > 0) | (self.high < 0)
        return found


def mean_estimate(values: np.ndarray) -> Estimate:
    """Mean over queries of `values` (Q, M)."""
    return _estimate(values.sum(axis=0) / len(values), resampled_sums(values) / len(values),
                     len(values))


def mat_estimate(tokens: np.ndarray, rounds: np.ndarray) -> Estimate:
    """Pooled MAT, all tokens (Q) over all rounds (Q, M)."""
    sums = resampled_sums(np.column_stack([tokens, rounds]))
    return _estimate(tokens.sum() / rounds.sum(axis=0), sums[:, :1] / sums[:, 1:], len(tokens))


def mat_difference(tokens: np.ndarray, rounds: np.ndarray, base: np.ndarray) -> Estimate:
    """Pooled MAT of `rounds` (Q, M) minus that of `base` (Q or Q, M), paired by query."""
    base = np.broadcast_to(base.reshape(len(tokens), -1), rounds.shape)
    sums = resampled_sums(np.column_stack([tokens, rounds, base]))
    count = rounds.shape[1]
    draws = sums[:, :1] / sums[:, 1:count + 1] - sums[:, :1] / sums[:, count + 1:]
    total = tokens.sum()
    return _estimate(total / rounds.sum(axis=0) - total / base.sum(axis=0), draws, len(tokens))


def mat_gain(rounds: np.ndarray, base: np.ndarray) -> Estimate:
    """How much higher the pooled MAT of `rounds` (Q, M) is than that of `base` (Q), in percent.

    Of seconds instead of rounds: how many more tokens per second.
    """
    sums = resampled_sums(np.column_stack([base, rounds]))
    return _estimate(100 * (base.sum() / rounds.sum(axis=0) - 1),
                     100 * (sums[:, :1] / sums[:, 1:] - 1), len(base))


def gain_difference(one: np.ndarray, other: np.ndarray) -> Estimate:
    """Gain in MAT in percent on queries `one` minus that on queries `other`, drawn independently.

    Both hold rounds (Q, 2): of the baseline and of the selector. The estimate has one value.
    """
    gains, draws = [], []
    for seed, rounds in enumerate((one, other)):
        sums = resampled_sums(rounds, seed)
        gains.append(100 * rounds[:, :1].sum(axis=0) / rounds[:, 1:].sum(axis=0))
        draws.append(100 * sums[:, :1] / sums[:, 1:])
    return _estimate(gains[0] - gains[1], draws[0] - draws[1], min(len(one), len(other)))


def resampled_sums(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Sums over Q queries drawn with replacement of `values` (Q, M): (DRAWS, M).

    For the same Q the same queries are drawn, whatever M is.
    """
    rows = max(1, _CHUNK // len(values))
    return np.concatenate([
        times_drawn(len(values), min(rows, DRAWS - start), (seed, start)).astype(float) @ values
        for start in range(0, DRAWS, rows)])


@lru_cache(maxsize=64)  # the same for every figure and table; up to 4 MB each
def times_drawn(queries: int, draws: int, seed: tuple[int, int]) -> np.ndarray:
    """How often each query is in each draw of as many queries, (draws, queries)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(queries, np.full(queries, 1 / queries), size=draws).astype(np.uint16)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p of a family of tests (M); NaN, a test not made, stays NaN."""
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """np.quantile along the rows of `ordered` (M, L), sorted: in half the time. NaN stays NaN."""
    place = share * (ordered.shape[1] - 1)
    below, above = ordered[:, math.floor(place)], ordered[:, math.ceil(place)]
    part = place % 1
    # Counted from the nearer end, as NumPy does.
    found = below + (above - below) * part if part < 0.5 else above - (above - below) * (1 - part)
    return np.where(np.isnan(ordered[:, -1]), np.nan, found)


def _estimate(value: np.ndarray, draws: np.ndarray, queries: int) -> Estimate:
    if queries < 2:
        unknown = np.full(value.shape, np.nan)
        return Estimate(value, unknown, unknown, unknown, queries)
    tail = (1 - LEVEL) / 2
    ordered = np.sort(np.ascontiguousarray(draws.T), axis=1)
    low, high = quantile(ordered, tail), quantile(ordered, 1 - tail)
    beyond = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    p = np.minimum(1, 2 * (beyond + 1) / (len(draws) + 1))
    return Estimate(value, low, high, p, queries)
