"""Intervals, paired differences and corrections: every interval of a report or page is from here.

The question is the unit, never the token: queries that are turns of one question, or ask it again
in other words, are drawn together (see `labels.questions`). Functions take the number of each
query's question as `questions` (Q); None: each query is a question of its own.

Questions are drawn with replacement, whatever their domain: how many a domain has is drawn too.
Every statistic of a table uses the same draws, so differences between selectors are paired by
question; a fixed seed makes reports reproducible.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DRAWS = 20_000  # a two-sided p can be as small as 1 / 10,000, so Holm has room for 500 tests
LEVEL = 0.95
SMALL = 20  # percentile intervals of fewer queries are noticeably too narrow
_NORMAL = 1.96  # standard errors on each side of a normal interval of that level
_CHUNK = 2_000_000  # numbers drawn at a time


@dataclass(frozen=True)
class Estimate:
    """Values (M) with the ends of their intervals (M) and two-sided p against zero (M).

    `low`, `high` and `p` are NaN where one question or none leaves nothing to draw from.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    queries: int


def mean_estimate(values: np.ndarray, questions: np.ndarray | None = None) -> Estimate:
    """Mean over queries of `values` (Q, M)."""
    counted = np.column_stack([values, np.ones(len(values))])
    sums = resampled_sums(counted, questions=questions)
    return _estimate(values.sum(axis=0) / len(values), sums[:, :-1] / sums[:, -1:], questions,
                     len(values))


def mat_estimate(
    tokens: np.ndarray, rounds: np.ndarray, questions: np.ndarray | None = None
) -> Estimate:
    """Pooled MAT, all tokens (Q) over all rounds (Q, M)."""
    sums = resampled_sums(np.column_stack([tokens, rounds]), questions=questions)
    return _estimate(tokens.sum() / rounds.sum(axis=0), sums[:, :1] / sums[:, 1:], questions,
                     len(tokens))


def mat_difference(
    tokens: np.ndarray, rounds: np.ndarray, base: np.ndarray, questions: np.ndarray | None = None
) -> Estimate:
    """Pooled MAT of `rounds` (Q, M) minus that of `base` (Q or Q, M), paired by question."""
    base = np.broadcast_to(base.reshape(len(tokens), -1), rounds.shape)
    sums = resampled_sums(np.column_stack([tokens, rounds, base]), questions=questions)
    count = rounds.shape[1]
    draws = sums[:, :1] / sums[:, 1:count + 1] - sums[:, :1] / sums[:, count + 1:]
    total = tokens.sum()
    return _estimate(total / rounds.sum(axis=0) - total / base.sum(axis=0), draws, questions,
                     len(tokens))


def mat_gain(
    rounds: np.ndarray, base: np.ndarray, questions: np.ndarray | None = None
) -> Estimate:
    """How much higher the pooled MAT of `rounds` (Q, M) is than that of `base` (Q), in percent.

    Of seconds instead of rounds: how many more tokens per second. Paired by question.
    """
    sums = resampled_sums(np.column_stack([base, rounds]), questions=questions)
    return _estimate(100 * (base.sum() / rounds.sum(axis=0) - 1),
                     100 * (sums[:, :1] / sums[:, 1:] - 1), questions, len(base))


def rate_gain(
    one: np.ndarray, other: np.ndarray, questions: np.ndarray | None = None
) -> Estimate:
    """How much higher the rate of `one` is than that of `other`, in percent; paired by question.

    Both hold, per query, what was made and in what time (Q, 2): tokens and seconds of answers whose
    texts differ. The estimate has one value.
    """
    sums = resampled_sums(np.column_stack([one, other]), questions=questions)
    whole = np.concatenate([one.sum(axis=0), other.sum(axis=0)])[None]
    rates = [100 * (part[:, :1] * part[:, 3:] / (part[:, 1:2] * part[:, 2:3]) - 1)
             for part in (whole, sums)]
    return _estimate(rates[0][0], rates[1], questions, len(one))


def crossed_estimate(values: np.ndarray, questions: np.ndarray | None = None) -> Estimate:
    """Mean of `values` (Q, G) over queries and over G further draws: of pools, or of orders.

    Both are drawn anew, independently: which questions, and which of the G. One value.
    """
    sums = resampled_sums(np.column_stack([values, np.ones(len(values))]), questions=questions)
    groups = values.shape[1]
    times = times_drawn(groups, DRAWS, (1, 0)).astype(float) / groups
    draws = (sums[:, :-1] * times).sum(axis=1, keepdims=True) / sums[:, -1:]
    found = _estimate(np.array([values.mean()]), draws, questions, len(values))
    return found if groups > 1 else mean_estimate(values, questions)


def mean_gain(
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | None]]
) -> Estimate:
    """Mean over traces of `mat_gain`, questions being drawn in each trace on its own.

    A part is the rounds or seconds (Q) of a selector, of the baseline, and the questions (Q).
    """
    gains, draws = [], []
    for seed, (rounds, base, questions) in enumerate(parts):
        sums = resampled_sums(np.column_stack([base, rounds]), seed, questions)
        gains.append(100 * (base.sum() / rounds.sum() - 1))
        draws.append(100 * (sums[:, :1] / sums[:, 1:] - 1))
    fewest = min(parts, key=lambda part: len(part[0]))
    return _estimate(np.array([np.mean(gains)]), np.mean(draws, axis=0), fewest[2],
                     len(fewest[0]))


def gain_difference(
    one: np.ndarray, other: np.ndarray, questions: np.ndarray | None = None,
    other_questions: np.ndarray | None = None,
) -> Estimate:
    """Gain in MAT in percent on queries `one` minus that on queries `other`, drawn independently.

    Both hold rounds (Q, 2): of the baseline and of the selector. The estimate has one value.
    """
    gains, draws = [], []
    for seed, (rounds, of) in enumerate(((one, questions), (other, other_questions))):
        sums = resampled_sums(rounds, seed, of)
        gains.append(100 * rounds[:, :1].sum(axis=0) / rounds[:, 1:].sum(axis=0))
        draws.append(100 * sums[:, :1] / sums[:, 1:])
    fewest = min((one, questions), (other, other_questions), key=lambda pair: len(pair[0]))
    return _estimate(gains[0] - gains[1], draws[0] - draws[1], fewest[1], len(fewest[0]))


def normal_band(
    values: np.ndarray, questions: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (M) of the 95% normal interval of the mean over queries of `values` (Q, M).

    NaN where one question leaves nothing to tell a spread from.
    """
    mean = values.mean(axis=0)
    half = _NORMAL * _error_of_sum(values - mean, questions) / len(values)
    return mean - half, mean + half


def mat_error(
    tokens: np.ndarray, rounds: np.ndarray, questions: np.ndarray | None = None
) -> tuple[float, float]:
    """Pooled MAT of `tokens` (Q) over `rounds` (Q), and its standard error (delta method).

    The error of one question is NaN.
    """
    mat = tokens.sum() / rounds.sum()
    error = _error_of_sum((tokens - mat * rounds)[:, None], questions)[0] / rounds.sum()
    return float(mat), float(error)


def resampled_sums(
    values: np.ndarray, seed: int = 0, questions: np.ndarray | None = None
) -> np.ndarray:
    """Sums over the queries of questions drawn with replacement of `values` (Q, M): (DRAWS, M).

    As many questions as there are. For the same number the same ones are drawn, whatever M is.
    """
    values = _by_question(values, questions)
    rows = max(1, _CHUNK // len(values))
    return np.concatenate([
        times_drawn(len(values), min(rows, DRAWS - start), (seed, start)).astype(float) @ values
        for start in range(0, DRAWS, rows)])


@lru_cache(maxsize=64)  # the same for every figure and table; up to 4 MB each
def times_drawn(questions: int, draws: int, seed: tuple[int, int]) -> np.ndarray:
    """How often each question is in each draw of as many questions, (draws, questions)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(questions, np.full(questions, 1 / questions), size=draws).astype(
        np.uint16)


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


def _by_question(values: np.ndarray, questions: np.ndarray | None) -> np.ndarray:
    """Sums of `values` (Q, M) over the queries of each question, in order of appearance."""
    if questions is None:
        return values
    _, first, number = np.unique(questions, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[number]
    sums = np.zeros((len(first), values.shape[1]))
    np.add.at(sums, place, values)
    return sums


def _error_of_sum(apart: np.ndarray, questions: np.ndarray | None) -> np.ndarray:
    """Standard error (M) of the sum of `apart` (Q, M), which is 0 in all; NaN for one question."""
    apart = _by_question(apart, questions)
    if len(apart) < 2:
        return np.full(apart.shape[1], np.nan)
    spread: np.ndarray = np.sqrt((apart**2).sum(axis=0) * len(apart) / (len(apart) - 1))
    return spread


def _estimate(value: np.ndarray, draws: np.ndarray, questions: np.ndarray | None, queries: int
              ) -> Estimate:
    if (queries if questions is None else len(np.unique(questions))) < 2:
        unknown = np.full(value.shape, np.nan)
        return Estimate(value, unknown, unknown, unknown, queries)
    tail = (1 - LEVEL) / 2
    ordered = np.sort(np.ascontiguousarray(draws.T), axis=1)
    low, high = quantile(ordered, tail), quantile(ordered, 1 - tail)
    beyond = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    p = np.minimum(1, 2 * (beyond + 1) / (len(draws) + 1))
    return Estimate(value, low, high, p, queries)
