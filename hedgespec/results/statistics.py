"""Intervals, paired differences and corrections: every interval of a report or page is from here.

The question is the unit, never the token: queries that are turns of one question, or ask it again
in other words, are drawn together (see `labels.questions`). Functions take the number of each
query's question as `questions` (Q); None: each query is a question of its own.

Intervals: questions are drawn with replacement, whatever their domain: how many a domain has is
drawn too. Every statistic of a table uses the same draws, so differences between selectors are
paired by question; a fixed seed makes reports reproducible. The ends of the percentile interval are
moved away from the value by the factor t sqrt(n / (n - 1)) / z: without it intervals of few
questions are too narrow (Hesterberg, arXiv:1411.5279).

Tests: a difference is tested by flipping the sign of what each question adds to it, which is to
swap the two that are compared in that question (Fisher 1935). All ways are tried, or many drawn.
Where the two differ in no mean but may not be swapped, as what questions add is lopsided, that
marks too often; so p is not below that of a t test corrected for skewness. No test of a mean holds
for all laws (Bahadur & Savage 1956): few questions need not show how far others would be. So that
test is made also with one more question, far on the other side of the mean, and the greater p
counts. As much as it weighs with few questions, it does not with a hundred.
Groups of different questions have nothing to swap: there p is the share of draws beyond zero.
`may_be_marked` says from how many questions on anything is tested.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np

DRAWS = 20_000  # of questions, for an interval
FLIPS = 2**16  # of signs: all there are of 17 questions; p has room for 3,200 tests under Holm
LEVEL = 0.95
SMALL = 10  # questions: of fewer no difference is tested
_FARTHER = 48  # questions of which one more lies as far as the farthest: see docs/report.md
_FEWEST = 3  # questions: of fewer no interval reaches as far as it says
_NORMAL = NormalDist().inv_cdf((1 + LEVEL) / 2)  # standard errors on each side
_ROUNDING = 1e-9  # of the sum of absolute values: sums that differ by less are the same
_CHUNK = 2_000_000  # numbers drawn at a time
_MOST_SIGNS = 1 << 26  # that are kept


@dataclass(frozen=True)
class Estimate:
    """Values (M) with the ends of their intervals (M); `test` finds two-sided p against zero (M).

    They are of so many `queries`, turns of so many `questions` (of two groups those of the
    smaller). `low` and `high` are NaN for fewer than three questions.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    test: Callable[[], np.ndarray]
    queries: int
    questions: int

    @cached_property
    def p(self) -> np.ndarray:
        """NaN where a value is not a difference or `may_be_marked` says no. Found when it is asked
        for: of most estimates the interval alone is shown."""
        return self.test()


def may_be_marked(questions: int, tests: int = 1) -> bool:
    """Whether a difference of so many questions is tested, and marked where it is significant.

    Among many `tests` their least possible p, 2 / 2^questions, must be small enough for Holm's
    correction.
    """
    least = max(0.5 ** (questions - 1), 1 / (FLIPS + 1))
    return questions >= SMALL and tests * least < 1 - LEVEL


def few(questions: int) -> str:
    """A mark behind the number of questions where these are too few to be tested, else nothing."""
    return "" if may_be_marked(questions) else "†"


def mean_estimate(values: np.ndarray, questions: np.ndarray | None = None) -> Estimate:
    """Mean over queries of `values` (Q, M)."""
    counted = np.column_stack([values, np.ones(len(values))])
    sums = resampled_sums(counted, questions=questions)
    return _estimate(
        values.sum(axis=0) / len(values),
        sums[:, :-1] / sums[:, -1:],
        questions,
        len(values),
        values,
    )


def mat_estimate(
    tokens: np.ndarray, rounds: np.ndarray, questions: np.ndarray | None = None
) -> Estimate:
    """Pooled MAT, all tokens (Q) over all rounds (Q, M); no difference, hence not tested."""
    sums = resampled_sums(np.column_stack([tokens, rounds]), questions=questions)
    return _estimate(
        tokens.sum() / rounds.sum(axis=0), sums[:, :1] / sums[:, 1:], questions, len(tokens)
    )


def mat_difference(
    tokens: np.ndarray, rounds: np.ndarray, base: np.ndarray, questions: np.ndarray | None = None
) -> Estimate:
    """Pooled MAT of `rounds` (Q, M) minus that of `base` (Q or Q, M), paired by question."""
    base = np.broadcast_to(base.reshape(len(tokens), -1), rounds.shape)
    sums = resampled_sums(np.column_stack([tokens, rounds, base]), questions=questions)
    count = rounds.shape[1]
    draws = sums[:, :1] / sums[:, 1 : count + 1] - sums[:, :1] / sums[:, count + 1 :]
    total = tokens.sum()
    return _estimate(
        total / rounds.sum(axis=0) - total / base.sum(axis=0),
        draws,
        questions,
        len(tokens),
        base - rounds,
    )


def mat_gain(rounds: np.ndarray, base: np.ndarray, questions: np.ndarray | None = None) -> Estimate:
    """How much higher the pooled MAT of `rounds` (Q, M) is than that of `base` (Q), in percent.

    Of seconds instead of rounds: how many more tokens per second. Paired by question.
    """
    sums = resampled_sums(np.column_stack([base, rounds]), questions=questions)
    return _estimate(
        100 * (base.sum() / rounds.sum(axis=0) - 1),
        100 * (sums[:, :1] / sums[:, 1:] - 1),
        questions,
        len(base),
        base[:, None] - rounds,
    )


def rate_gain(one: np.ndarray, other: np.ndarray, questions: np.ndarray | None = None) -> Estimate:
    """How much higher the rate of `one` is than that of `other`, in percent; paired by question.

    Both hold, per query, what was made and in what time (Q, 2): tokens and seconds of answers whose
    texts differ. The estimate has one value.
    """
    sums = resampled_sums(np.column_stack([one, other]), questions=questions)
    whole = np.concatenate([one.sum(axis=0), other.sum(axis=0)])[None]
    rates = [
        100 * (part[:, :1] * part[:, 3:] / (part[:, 1:2] * part[:, 2:3]) - 1)
        for part in (whole, sums)
    ]
    both = (one + other).sum(axis=0)  # stays when the two are swapped in a question
    above = [part[:, :1] - both[0] / both[1] * part[:, 1:] for part in (one, other)]
    return _estimate(rates[0][0], rates[1], questions, len(one), above[0] - above[1])


def crossed_estimate(values: np.ndarray, questions: np.ndarray | None = None) -> Estimate:
    """Mean of `values` (Q, G) over queries and over G further draws: of pools, or of orders.

    Both are drawn anew, independently: which questions, and which of the G. One value, not tested.
    """
    sums = resampled_sums(np.column_stack([values, np.ones(len(values))]), questions=questions)
    groups = values.shape[1]
    times = times_drawn(groups, DRAWS, (1, 0)).astype(float) / groups
    draws, of_questions = (
        (sums[:, :-1] * part).sum(axis=1, keepdims=True) / sums[:, -1:]
        for part in (times, 1 / groups)
    )
    if groups == 1:
        return mean_estimate(values, questions)
    # The groups' part is stretched by their number, the questions' by theirs.
    draws += (stretch(groups) / stretch(_count(questions, len(values))) - 1) * (
        draws - of_questions
    )
    return _estimate(np.array([values.mean()]), draws, questions, len(values))


def mean_gain(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> Estimate:
    """Mean over traces of `mat_gain`, questions being drawn in each trace on its own.

    A part is the rounds or seconds (Q) of a selector, of the baseline, and the questions (Q). One
    value, not tested.
    """
    gains, draws = [], []
    for seed, (rounds, base, questions) in enumerate(parts):
        sums = resampled_sums(np.column_stack([base, rounds]), seed, questions)
        gains.append(100 * (base.sum() / rounds.sum() - 1))
        draws.append(100 * (sums[:, :1] / sums[:, 1:] - 1))
    fewest = min(parts, key=lambda part: _count(part[2], len(part[0])))
    return _estimate(np.array([np.mean(gains)]), np.mean(draws, axis=0), fewest[2], len(fewest[0]))


def gain_difference(
    one: np.ndarray,
    other: np.ndarray,
    questions: np.ndarray | None = None,
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
    fewest = min(
        (one, questions), (other, other_questions), key=lambda pair: _count(pair[1], len(pair[0]))
    )
    drawn = draws[0] - draws[1]
    found = _estimate(gains[0] - gains[1], drawn, fewest[1], len(fewest[0]))
    if not may_be_marked(found.questions):
        return found
    return replace(found, test=lambda: _beyond(found, drawn))


def mean_band(
    values: np.ndarray, questions: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (M) of the 95% t interval of the mean over queries of `values` (Q, M).

    NaN for fewer than three questions.
    """
    mean = values.mean(axis=0)
    half = (
        _student(_count(questions, len(values)))
        * _error_of_sum(values - mean, questions)
        / len(values)
    )
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
    values = by_question(values, questions)
    return np.concatenate(
        [
            times_drawn(len(values), draws, (seed, start)).astype(float) @ values
            for start, draws in _blocks(len(values))
        ]
    )


def _blocks(questions: int) -> list[tuple[int, int]]:
    """Where each block of draws starts, and how many it has."""
    rows = max(1, _CHUNK // questions)
    return [(start, min(rows, DRAWS - start)) for start in range(0, DRAWS, rows)]


def draw_states(questions: int) -> list[dict[str, int | str]]:
    """How the draws with seed 0 of so many questions begin, so that another program makes the same.

    Of each block its number of `draws`, and `state` and `increment` of its PCG64, in hexadecimal.
    """
    found: list[dict[str, int | str]] = []
    for start, draws in _blocks(questions):
        one = np.random.default_rng((0, start)).bit_generator.state["state"]
        found.append(
            {"draws": draws, "state": f"{one['state']:032x}", "increment": f"{one['inc']:032x}"}
        )
    return found


def stretch(questions: int) -> float:
    """How far the percentile interval of so many questions is stretched; NaN for too few."""
    return _student(questions) / _NORMAL * math.sqrt(questions / max(1, questions - 1))


@lru_cache(maxsize=64)  # the same for every figure and table; up to 4 MB each
def times_drawn(questions: int, draws: int, seed: tuple[int, int]) -> np.ndarray:
    """How often each question is in each draw of as many questions, (draws, questions)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(questions, np.full(questions, 1 / questions), size=draws).astype(
        np.uint16
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p of a family of tests (M); NaN, a test not made, stays NaN."""
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """np.quantile along the rows of `ordered` (M, L), sorted, at least at the two places that this
    looks at and the last: in half the time. NaN stays NaN."""
    place = share * (ordered.shape[1] - 1)
    below, above = ordered[:, math.floor(place)], ordered[:, math.ceil(place)]
    part = place % 1
    # Counted from the nearer end, as NumPy does.
    found = below + (above - below) * part if part < 0.5 else above - (above - below) * (1 - part)
    return np.where(np.isnan(ordered[:, -1]), np.nan, found)


def _tails(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The quantiles (M) of `draws` (DRAWS, M) that cut LEVEL of them out."""
    tail, last = (1 - LEVEL) / 2, len(draws) - 1
    low, high = math.ceil(tail * last), math.floor((1 - tail) * last)
    ordered = np.array(draws.T, order="C")
    # One place at a time, then what is beside it: in a fifth of the time of several places at once.
    ordered.partition(low, axis=1)
    ordered[:, low + 1 :].partition(high - low - 1, axis=1)
    above = ordered[:, high + 1 :]
    ordered[:, low - 1] = ordered[:, :low].max(axis=1)
    above[:, 0], above[:, -1] = above.min(axis=1), above.max(axis=1)  # NaN if one of them is
    return quantile(ordered, tail), quantile(ordered, 1 - tail)


def by_question(values: np.ndarray, questions: np.ndarray | None) -> np.ndarray:
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
    apart = by_question(apart, questions)
    if len(apart) < 2:
        return np.full(apart.shape[1], np.nan)
    spread: np.ndarray = np.sqrt((apart**2).sum(axis=0) * len(apart) / (len(apart) - 1))
    return spread


def _count(questions: np.ndarray | None, queries: int) -> int:
    """Number of questions."""
    return queries if questions is None else len(np.unique(questions))


def _estimate(
    value: np.ndarray,
    draws: np.ndarray,
    questions: np.ndarray | None,
    queries: int,
    adds: np.ndarray | None = None,
) -> Estimate:
    """Of `draws` (DRAWS, M) of `value` (M) and, where it is tested, what queries add to it (Q, M).

    Only the sign of the sum of `adds` need be that of `value`, not its size.
    """
    count = _count(questions, queries)
    low, high = (value + stretch(count) * (end - value) for end in _tails(draws))

    def test() -> np.ndarray:
        if adds is None or not may_be_marked(count):
            return np.full(value.shape, np.nan)
        sums = by_question(adds, questions)
        p: np.ndarray = np.max(
            [_flipped(sums), _unskewed(sums), _unskewed(_with_one_more(sums))], axis=0
        )
        return p

    return Estimate(value, low, high, test, queries, count)


def _student(count: int) -> float:
    """Standard errors on each side of a t interval of `count` values; NaN for too few.

    Abramowitz & Stegun 26.7.5, which is 0.7% too narrow for three values and right for more.
    """
    if count < _FEWEST:
        return math.nan
    z, freedom = _NORMAL, count - 1
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


def _flipped(adds: np.ndarray) -> np.ndarray:
    """Two-sided p (M) of the sums of `adds` (questions, M), each sign being as likely either way.

    The share of ways to set the signs whose sum is as far from zero: exact where all are tried,
    else of those drawn and the one that is there (Phipson & Smyth 2010).
    """
    ways = min(FLIPS, 2 ** (len(adds) - 1))
    there = np.abs(adds.sum(axis=0)) - _ROUNDING * np.abs(adds).sum(axis=0)
    as_far, rows = np.zeros(adds.shape[1]), max(1, _CHUNK // len(adds))
    for start in range(0, ways, rows):
        sums = _some_signs(len(adds), start, min(rows, ways - start)).astype(float) @ adds
        as_far += (np.abs(sums) >= there).sum(axis=0)
    drawn = int(ways < 2 ** (len(adds) - 1))
    p: np.ndarray = (as_far + drawn) / (ways + drawn)
    p[np.isnan(there)] = np.nan
    return p


def _unskewed(adds: np.ndarray) -> np.ndarray:
    """Two-sided p (M) of the mean of `adds` (questions, M) against zero, corrected for skewness.

    Student's t of mean and standard deviation is transformed by a cubic that has no turn (Hall
    1992, "On the removal of skewness by transformation"; after Johnson 1978).
    """
    count, mean = len(adds), adds.mean(axis=0)
    apart = adds - mean
    spread = apart.std(axis=0)
    # What is the same in all questions leaves nothing to correct, nor to doubt.
    known = spread > _ROUNDING * np.abs(adds).max(axis=0)
    scale = np.where(known, spread, 1.0)
    skew = np.where(known, (apart**3).mean(axis=0), 0.0) / scale**3
    u = mean / scale * math.sqrt((count - 1) / count)
    t = math.sqrt(count) * (u + skew * u**2 / 3 + skew**2 * u**3 / 27 + skew / (6 * count))
    found: np.ndarray = np.where(known, _beyond_t(t, count - 1), (mean == 0).astype(float))
    return found


def _with_one_more(adds: np.ndarray) -> np.ndarray:
    """`adds` (questions, M) and a question that speaks against their mean: (questions + 1, M).

    Tests of a bounded mean put one more value at the bound (Learned-Miller & Thomas,
    arXiv:1905.06208). Here no bound is known; the value lies sqrt(_FARTHER / questions) times as
    far from the mean as the farthest does.
    """
    mean = adds.mean(axis=0)
    farthest = np.abs(adds - mean).max(axis=0)
    return np.vstack([adds, mean - np.sign(mean) * math.sqrt(_FARTHER / len(adds)) * farthest])


def _beyond_t(t: np.ndarray, freedom: int) -> np.ndarray:
    """Two-sided tail of Student's t (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = np.arctan(np.abs(t) / math.sqrt(freedom))
    cosine, odd = np.cos(angle), freedom % 2
    term = cosine if odd else np.ones_like(t)
    total = np.zeros_like(t)
    for power in range(2 + odd, freedom + 1, 2):
        total += term
        term = term * cosine**2 * (power - 1) / power
    within = np.sin(angle) * total
    share = 2 / math.pi * (angle + within) if odd else within
    beyond: np.ndarray = np.clip(1 - share, 0.0, 1.0)
    return beyond


def _beyond(found: Estimate, draws: np.ndarray) -> np.ndarray:
    """Two-sided p (M) that goes with the interval: the share of draws, stretched, beyond zero."""
    stretched = found.value + stretch(found.questions) * (draws - found.value)
    beyond = np.minimum((stretched <= 0).sum(axis=0), (stretched >= 0).sum(axis=0))
    p: np.ndarray = np.minimum(1, 2 * (beyond + 1) / (len(draws) + 1))
    return p


def _some_signs(questions: int, start: int, rows: int) -> np.ndarray:
    """Rows start.. of the ways to set the signs of so many; of very many they are drawn anew."""
    if questions * FLIPS <= _MOST_SIGNS:
        return _signs(questions, FLIPS)[start : start + rows]
    rng = np.random.default_rng((0, start))
    return 1 - 2 * rng.integers(0, 2, (rows, questions), dtype=np.int8)


@lru_cache(maxsize=8)  # the same for every figure and table; up to 10 MB each
def _signs(questions: int, most: int) -> np.ndarray:
    """Ways to set the signs of so many, (ways, questions): all but mirror images, or `most`."""
    ways = 2 ** (questions - 1)
    if ways <= most:
        bits = np.arange(ways)[:, None] >> np.arange(questions)
    else:
        bits = np.random.default_rng(0).integers(0, 2, (most, questions), dtype=np.int8)
    return 1 - 2 * (bits & 1).astype(np.int8)
