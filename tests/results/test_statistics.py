"""Statistics: the question is the unit, in every estimate and wherever one is asked for."""

import ast
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as t_law

from hedgespec.results import statistics
from hedgespec.results.statistics import (
    SMALL,
    crossed_estimate,
    few,
    gain_difference,
    holm,
    mat_difference,
    mat_error,
    mat_estimate,
    mat_gain,
    may_be_marked,
    mean_band,
    mean_estimate,
    mean_gain,
    rate_gain,
)
from tests.helpers.marks import slow_but

ROOT = Path(__file__).parents[2]
ESTIMATORS = {
    "mean_estimate",
    "mat_estimate",
    "mat_difference",
    "mat_gain",
    "rate_gain",
    "gain_difference",
    "mean_band",
    "mat_error",
    "crossed_estimate",
    "mean_gain",
}
NOT_BY_QUESTION = {
    ROOT / "benchmarks" / "live.py",  # each of its questions has one answer
    ROOT / "hedgespec" / "bridges" / "chosen.py",  # an engine's log has requests
}


@pytest.fixture
def queries() -> tuple[np.ndarray, np.ndarray]:
    """Tokens (Q) and rounds (Q, 2) of 40 queries."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(50, 400, 40).astype(float)
    return tokens, tokens[:, None] / rng.uniform(1.5, 3.0, (40, 2))


def estimates(tokens, rounds, questions):
    """Every estimate of these queries."""
    one, other = (np.column_stack([tokens, rounds[:, i]]) for i in (0, 1))
    return [
        mean_estimate(rounds, questions),
        mat_estimate(tokens, rounds, questions),
        mat_difference(tokens, rounds, rounds[:, 1], questions),
        mat_gain(rounds, rounds[:, 1], questions),
        rate_gain(one, other, questions),
        gain_difference(rounds, rounds[:, ::-1], questions, questions),
    ]


def spans(found):
    return np.concatenate([np.concatenate([one.value, one.low, one.high]) for one in found])


def test_a_question_of_its_own_for_each_query_is_the_default(queries):
    tokens, rounds = queries
    named = np.array([f"q{number}" for number in range(40)])[::-1]
    assert np.allclose(
        spans(estimates(tokens, rounds, None)), spans(estimates(tokens, rounds, named))
    )
    assert np.allclose(mean_band(rounds), mean_band(rounds, named))
    assert np.allclose(mat_error(tokens, rounds[:, 0]), mat_error(tokens, rounds[:, 0], named))


def test_a_second_turn_that_repeats_the_first_makes_nothing_more_certain(queries):
    tokens, rounds = queries
    twice = (np.repeat(tokens, 2), np.repeat(rounds, 2, axis=0))
    question = np.repeat(np.arange(40), 2)
    assert np.allclose(spans(estimates(*twice, question)), spans(estimates(*queries, None)))
    assert np.allclose(mean_band(twice[1], question), mean_band(rounds))
    assert np.allclose(
        mat_error(twice[0], twice[1][:, 0], question), mat_error(tokens, rounds[:, 0])
    )
    # As queries of their own they would.
    apart, together = (estimates(*twice, of) for of in (None, question))
    for one, other in zip(apart, together, strict=True):
        width, honest = one.high - one.low, other.high - other.low
        assert (width[honest > 0] < 0.85 * honest[honest > 0]).all()


@pytest.mark.slow
def test_intervals_of_questions_with_turns_cover_as_often_as_they_say():
    rng, covered, queries = np.random.default_rng(0), [], 60
    question = np.repeat(np.arange(queries // 2), 2)
    values = rng.normal(1.0, 1.0, (queries // 2, 400))[question] + rng.normal(
        0, 0.3, (queries, 400)
    )
    found = mean_estimate(values, question)
    covered.append((found.low < 1) & (found.high > 1))
    low, high = mean_band(values, question)
    covered.append((low < 1) & (high > 1))
    for inside in covered:
        assert 0.90 < inside.mean() < 0.98
    narrow = mean_estimate(values)
    assert ((narrow.low < 1) & (narrow.high > 1)).mean() < 0.88


def test_one_question_of_several_turns_has_a_value_and_no_interval(queries):
    for found in estimates(*queries, np.zeros(40)):
        assert np.isfinite(found.value).all()
        assert np.isnan([found.low, found.high, found.p]).all()
        assert found.queries == 40


def test_standard_errors_are_those_of_the_textbook(queries):
    tokens, rounds = queries
    low, high = mean_band(rounds)
    error = rounds.std(axis=0, ddof=1) / np.sqrt(40)
    assert np.allclose(high - rounds.mean(axis=0), t_law.ppf(0.975, 39) * error)
    assert np.allclose((low + high) / 2, rounds.mean(axis=0))
    mat, spread = mat_error(tokens, rounds[:, 0])
    draws = mat_estimate(tokens, rounds[:, :1])
    assert mat == draws.value[0]
    assert 2 * 1.96 * spread == pytest.approx((draws.high - draws.low)[0], rel=0.1)
    # Two queries have no interval, not one without width.
    assert np.isnan(mean_band(rounds[:2])).all()
    assert np.isnan(mat_error(tokens[:1], rounds[:1, 0])[1])


def test_rates_of_the_same_tokens_gain_what_their_seconds_save(queries):
    tokens, seconds = queries
    one, other = (np.column_stack([tokens, seconds[:, i]]) for i in (0, 1))
    gain, saved = rate_gain(one, other), mat_gain(seconds[:, :1], seconds[:, 1])
    assert np.allclose(spans([gain]), spans([saved]))
    assert gain.p == pytest.approx(saved.p)
    more = rate_gain(one * [1.5, 1], other)  # half more tokens in the same time
    assert np.allclose(100 + more.value, 1.5 * (100 + gain.value))
    assert np.allclose(100 + more.low, 1.5 * (100 + gain.low))


def calls(path: Path) -> list[ast.Call]:
    """Calls of the estimators in a program."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ESTIMATORS
    ]


@pytest.mark.slow
def test_no_interval_is_asked_for_without_saying_what_the_questions_are():
    home = ROOT / "hedgespec" / "results" / "statistics.py"
    paths = {*(ROOT / "hedgespec").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")} - {home}
    asked = {path: found for path in paths if (found := calls(path))}
    assert len(asked) > 12
    for path, found in asked.items():
        for call in found:
            if path not in NOT_BY_QUESTION:
                last = ast.unparse(call.args[-1])
                assert any(word in last for word in ("question", "asked")), (
                    f"{path}:{call.lineno}: {ast.unparse(call)}"
                )


def test_nothing_else_draws_a_bootstrap():
    """A quantile of draws, or a normal interval, anywhere else would be a second estimator."""
    home = ROOT / "hedgespec" / "results" / "statistics.py"
    for path in {*(ROOT / "hedgespec").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")} - {home}:
        text = path.read_text(encoding="utf-8")
        for word in (
            "np.percentile",
            "1.96",
            "ddof",
            "multinomial(",
            "resampled_sums",
            "NormalDist",
            "(0.025, 0.975)",
        ):
            assert word not in text, f"{path}: {word}"


def test_other_draws_give_another_interval(monkeypatch):
    values = np.random.default_rng(0).normal(size=(20, 1))
    many = mean_estimate(values)
    monkeypatch.setattr(statistics, "DRAWS", 500)
    few = mean_estimate(values)
    assert few.value == many.value
    assert few.low != many.low


def test_pools_that_differ_make_a_mean_over_them_less_certain():
    """Five pools far apart: however many questions, the interval is that of the pools."""
    rng = np.random.default_rng(0)
    pools = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    values = rng.normal(pools, 1.0, (400, 5))
    found, alone = crossed_estimate(values), mean_estimate(values.mean(axis=1)[:, None])
    assert found.value[0] == pytest.approx(values.mean())
    assert alone.high[0] - alone.low[0] < 1
    assert found.high[0] - found.low[0] > 3 * pools.std() / np.sqrt(5)
    same = crossed_estimate(np.repeat(values[:, :1], 5, axis=1))
    one = mean_estimate(values[:, :1])
    assert same.low[0] == pytest.approx(one.low[0])
    assert same.high[0] == pytest.approx(one.high[0])


def test_a_mean_of_gains_is_that_of_the_traces():
    rng = np.random.default_rng(0)
    parts = [(rng.uniform(1, 2, 50), rng.uniform(2, 3, 50), None) for _ in range(3)]
    singles = [mat_gain(rounds[:, None], base).value[0] for rounds, base, _ in parts]
    found = mean_gain(parts)
    assert found.value[0] == pytest.approx(np.mean(singles))
    one = mat_gain(parts[0][0][:, None], parts[0][1])
    assert found.high[0] - found.low[0] < one.high[0] - one.low[0]


# Few questions

KINDS = ("normal", "skewed", "heavy", "turns")


def null(kind: str, questions: int, tests: int) -> tuple[np.ndarray, ...]:
    """Tokens (Q), rounds of two that do not differ (Q, tests) each, and questions (Q).

    Rounds of an answer are skewed or heavy-tailed, answers of unequal length; of `turns` a question
    has three, which are alike.
    """
    rng = np.random.default_rng(questions)
    question = np.repeat(np.arange(questions), 3 if kind == "turns" else 1)
    tokens = rng.lognormal(5, 0.7, len(question)).round() + 1
    draws = {
        "normal": lambda shape: rng.normal(0, 0.1, shape),
        "skewed": lambda shape: 0.3 * rng.exponential(1, shape),
        "heavy": lambda shape: 0.05 * np.abs(rng.standard_t(3, shape)),
        "turns": lambda shape: 0.3 * rng.exponential(1, shape),
    }[kind]
    one, other = (
        tokens[:, None]
        / 2.5
        * (1 + draws((questions, tests))[question] + rng.normal(0, 0.03, (len(question), tests)))
        for _ in range(2)
    )
    return tokens, one, other, question


@pytest.mark.parametrize("questions", slow_but([3, 4, 12], [3, 4, 12, 24, 96]))
def test_tables_of_differences_that_are_none_are_seldom_marked(questions, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 100)  # intervals are not looked at
    monkeypatch.setattr(statistics, "FLIPS", 2**12)
    tables, rows = 400, 5
    for kind in KINDS:
        p = mat_difference(*null(kind, questions, tables * rows)).p.reshape(tables, rows)
        marked = np.mean([(holm(of_table) < 0.05).any() for of_table in p])
        if may_be_marked(questions):
            assert marked <= 0.05, kind
            assert (p < 0.05).mean() <= 0.05, kind
        else:
            assert np.isnan(p).all()


@pytest.mark.slow
@pytest.mark.parametrize("questions", [3, 4, 12, 24])
def test_intervals_of_few_questions_cover_nearly_as_often_as_they_say(questions, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 1_000)
    for kind in KINDS:
        tokens, one, other, question = null(kind, questions, 400)
        for found in (
            mat_difference(tokens, one, other, question),
            mean_estimate(one - other, question),
        ):
            covered = ((found.low <= 0) & (found.high >= 0)).mean()
            assert covered > 0.9, kind
            assert covered < 0.98 or questions < 12, kind  # one long answer may outweigh a few


@pytest.mark.parametrize(("questions", "marked"), [(SMALL - 1, False), (SMALL, True)])
def test_fewer_than_ten_questions_are_never_tested(questions, marked):
    tokens = 100 + np.arange(1.0, questions + 1)
    rounds = tokens[:, None] * [2.0, 1.0]
    of_one = np.column_stack([tokens, rounds[:, 0]]), np.column_stack([tokens, rounds[:, 1]])
    for found in (
        mean_estimate(rounds),
        mat_difference(tokens, rounds, rounds[:, 0] + 1),
        mat_gain(rounds, rounds[:, 0] + 1),
        rate_gain(*of_one),
    ):
        assert (found.p < 0.01).all() == marked
        assert np.isnan(found.p).all() != marked
    assert may_be_marked(questions) == marked
    assert few(questions) == ("" if marked else "†")
    # Twice as many turns are no more questions.
    twice = mean_estimate(np.repeat(rounds, 2, axis=0), np.repeat(tokens, 2))
    assert (twice.queries, twice.questions) == (2 * questions, questions)
    assert np.isnan(twice.p).all() != marked


@pytest.mark.parametrize(("questions", "tests"), [(10, 25), (12, 102), (96, 3200)])
def test_a_mark_is_possible_among_so_many_tests_and_no_more(questions, tests, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 100)
    surest = mean_estimate(100 + np.arange(1.0, questions + 1)[:, None]).p
    for more in (0, 80):
        p = np.concatenate([surest, np.ones(tests + more - 1)])
        assert (holm(p)[0] < 0.05) == may_be_marked(questions, tests + more) == (more == 0)


LOPSIDED = {  # mean 0, and more of one side
    "gamma": lambda rng, shape: rng.gamma(2, 1, shape) - 2,
    "log-normal": lambda rng, shape: np.exp(rng.normal(0, 0.5, shape)) - np.exp(0.125),
    "exponential": lambda rng, shape: rng.exponential(1, shape) - 1,
    "log-normal, long": lambda rng, shape: np.exp(rng.normal(0, 1, shape)) - np.exp(0.5),
}


def share_marked(p, rows):
    """Of tables of so many rows those with a mark."""
    return np.mean([(holm(of_table) < 0.05).any() for of_table in p.reshape(-1, rows)])


@pytest.mark.parametrize("kind", LOPSIDED)
@pytest.mark.parametrize("questions", slow_but([12], [10, 12, 24, 96]))
def test_differences_that_are_none_on_average_alone_are_as_seldom_marked(
    questions, kind, monkeypatch
):
    """Two that may not be swapped: sign flips alone mark up to a third of tables."""
    monkeypatch.setattr(statistics, "DRAWS", 100)
    monkeypatch.setattr(statistics, "FLIPS", 2**11)
    adds = LOPSIDED[kind](np.random.default_rng(questions), (questions, 2000))
    found = mean_estimate(adds).p
    assert share_marked(found, 5) <= 0.05
    assert share_marked(found, 50) <= 0.05 + 2 * 0.034 * (kind == "log-normal, long")
    if questions == 12 and kind != "gamma":
        assert share_marked(statistics._flipped(adds), 5) > 0.1


@pytest.mark.parametrize(
    ("questions", "difference", "least"),
    [(24, 1.0, 0.85), pytest.param(96, 0.6, 0.95, marks=pytest.mark.slow)],
)
def test_a_difference_of_a_standard_deviation_is_still_found(questions, difference, least):
    values = np.random.default_rng(0).normal(difference, 1.0, (questions, 200))
    assert (mean_estimate(values).p < 0.05).mean() > least


def unskewed(adds):
    """Hall's transformed t, written down again, of the questions and of these and one more."""
    mean = adds.mean()
    far = (48 / len(adds)) ** 0.5 * max(abs(adds - mean))
    return max(hall(adds), hall(np.append(adds, mean - np.sign(mean) * far)))


def hall(adds):
    n, mean, apart = len(adds), adds.mean(), adds - adds.mean()
    skew, u = (apart**3).mean() / apart.std() ** 3, mean / adds.std(ddof=1)
    t = n**0.5 * (u + skew * u**2 / 3 + skew**2 * u**3 / 27 + skew / (6 * n))
    return 2 * t_law.sf(abs(t), n - 1)


@pytest.mark.parametrize("count", [10, 11, 96])
def test_p_is_never_below_that_of_the_t_test_corrected_for_skewness(count):
    values = np.random.default_rng(count).exponential(1, (count, 40)) - 0.9
    found, flips = mean_estimate(values).p, statistics._flipped(values)
    wanted = np.maximum(flips, [unskewed(column) for column in values.T])
    assert found == pytest.approx(wanted, rel=1e-9)
    assert (found > flips).any()


def test_p_is_that_of_all_ways_to_swap_the_two():
    rng = np.random.default_rng(0)
    tokens, rounds, base = (rng.uniform(1, 2, 11) for _ in range(3))
    swaps = (np.arange(2**11)[:, None] >> np.arange(11)) & 1
    mats = [
        tokens.sum() / np.where(swaps, one, other).sum(axis=1)
        for one, other in ((rounds, base), (base, rounds))
    ]
    apart = np.abs(1 / mats[0] - 1 / mats[1])
    expected = (apart >= apart[0] - 1e-12).mean()
    expected = max(expected, unskewed(base - rounds))
    assert mat_difference(tokens, rounds[:, None], base).p == pytest.approx(expected)
    assert mat_gain(rounds[:, None], base).p == pytest.approx(expected)
    # Of answers whose texts differ, tokens and seconds are swapped together.
    other = rng.uniform(1, 2, (11, 2))
    one = np.column_stack([tokens, rounds])
    both = [np.where(swaps[:, :, None], *pair).sum(axis=1) for pair in ((one, other), (other, one))]
    rates = np.abs(both[0][:, 0] / both[0][:, 1] - both[1][:, 0] / both[1][:, 1])
    share = (one + other).sum(axis=0)[0] / (one + other).sum(axis=0)[1]
    adds = (one - other) @ [1, -share]
    assert rate_gain(one, other).p == pytest.approx(
        max((rates >= rates[0] - 1e-12).mean(), unskewed(adds))
    )


def test_drawn_signs_give_the_p_of_all_signs_nearly(monkeypatch):
    values = np.random.default_rng(0).normal(0.4, 1.0, (14, 30))
    every = mean_estimate(values).p
    monkeypatch.setattr(statistics, "FLIPS", 2**12)
    drawn = mean_estimate(values).p
    assert (drawn != every).any()
    assert np.abs(drawn - every).max() < 4 * 0.5 / np.sqrt(2**12)
    certain = mean_estimate(np.repeat(values + 100, 3, axis=0))
    assert (certain.p == 1 / (2**12 + 1)).all()  # never zero


def test_gains_of_two_groups_that_do_not_differ_are_seldom_told_apart(monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 1_000)
    rng = np.random.default_rng(0)
    p = []
    for _ in range(300):
        short, long = (
            scale * rng.exponential(1, (count, 1)) + rng.exponential(1, (count, 2))
            for scale, count in ((1, 12), (5, 30))
        )
        p.append(gain_difference(short, long).p[0])
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.1
    apart = gain_difference(np.column_stack([short[:, 0], short[:, 0] / 2]), long)
    assert apart.p < 0.01
    assert np.isnan(gain_difference(short[:9], long).p)


@pytest.mark.parametrize("count", [3, 4, 5, 10, 24, 96])
def test_standard_errors_of_a_t_interval_are_those_of_tables(count):
    assert statistics._student(count) == pytest.approx(t_law.ppf(0.975, count - 1), rel=0.008)


@pytest.mark.slow
def test_signs_of_very_many_questions_are_drawn_block_by_block(monkeypatch):
    """They are not kept, and p is that of the normal law."""
    questions = 5000
    monkeypatch.setattr(statistics, "_signs", None)
    adds = np.random.default_rng(1).normal(0, 1, (questions, 3))
    adds += np.array([0, 1, -2]) / np.sqrt(questions) - adds.mean(axis=0)
    p = statistics._flipped(adds)
    z = adds.sum(axis=0) / np.sqrt((adds**2).sum(axis=0))
    expected = [2 * norm.sf(abs(one)) for one in z]
    np.testing.assert_allclose(p, expected, atol=0.01)
