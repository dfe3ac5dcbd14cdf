"""Statistics: the question is the unit, in every estimate and wherever one is asked for."""

import ast
from pathlib import Path

import numpy as np
import pytest

from hedgespec.results import statistics
from hedgespec.results.statistics import (
    crossed_estimate,
    gain_difference,
    mat_difference,
    mat_error,
    mat_estimate,
    mat_gain,
    mean_estimate,
    mean_gain,
    normal_band,
    rate_gain,
)

ROOT = Path(__file__).parents[2]
ESTIMATORS = {"mean_estimate", "mat_estimate", "mat_difference", "mat_gain", "rate_gain",
              "gain_difference", "normal_band", "mat_error", "crossed_estimate", "mean_gain"}
NOT_BY_QUESTION = {ROOT / "benchmarks" / "live.py"}  # each of its questions has one answer


@pytest.fixture
def queries() -> tuple[np.ndarray, np.ndarray]:
    """Tokens (Q) and rounds (Q, 2) of 40 queries."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(50, 400, 40).astype(float)
    return tokens, tokens[:, None] / rng.uniform(1.5, 3.0, (40, 2))


def estimates(tokens, rounds, questions):
    """Every estimate of these queries."""
    one, other = (np.column_stack([tokens, rounds[:, i]]) for i in (0, 1))
    return [mean_estimate(rounds, questions), mat_estimate(tokens, rounds, questions),
            mat_difference(tokens, rounds, rounds[:, 1], questions),
            mat_gain(rounds, rounds[:, 1], questions), rate_gain(one, other, questions),
            gain_difference(rounds, rounds[:, ::-1], questions, questions)]


def spans(found):
    return np.concatenate([np.concatenate([one.value, one.low, one.high]) for one in found])


def test_a_question_of_its_own_for_each_query_is_the_default(queries):
    tokens, rounds = queries
    named = np.array([f"q{number}" for number in range(40)])[::-1]
    assert np.allclose(spans(estimates(tokens, rounds, None)),
                       spans(estimates(tokens, rounds, named)))
    assert np.allclose(normal_band(rounds), normal_band(rounds, named))
    assert np.allclose(mat_error(tokens, rounds[:, 0]), mat_error(tokens, rounds[:, 0], named))


def test_a_second_turn_that_repeats_the_first_makes_nothing_more_certain(queries):
    tokens, rounds = queries
    twice = (np.repeat(tokens, 2), np.repeat(rounds, 2, axis=0))
    question = np.repeat(np.arange(40), 2)
    assert np.allclose(spans(estimates(*twice, question)), spans(estimates(*queries, None)))
    assert np.allclose(normal_band(twice[1], question), normal_band(rounds))
    assert np.allclose(mat_error(twice[0], twice[1][:, 0], question),
                       mat_error(tokens, rounds[:, 0]))
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
        0, 0.3, (queries, 400))
    found = mean_estimate(values, question)
    covered.append((found.low < 1) & (found.high > 1))
    low, high = normal_band(values, question)
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
    low, high = normal_band(rounds)
    error = rounds.std(axis=0, ddof=1) / np.sqrt(40)
    assert np.allclose(high - rounds.mean(axis=0), 1.96 * error)
    assert np.allclose((low + high) / 2, rounds.mean(axis=0))
    mat, spread = mat_error(tokens, rounds[:, 0])
    draws = mat_estimate(tokens, rounds[:, :1])
    assert mat == draws.value[0]
    assert 2 * 1.96 * spread == pytest.approx((draws.high - draws.low)[0], rel=0.1)
    # One query has no interval, not one without width.
    assert np.isnan(normal_band(rounds[:1])).all()
    assert np.isnan(mat_error(tokens[:1], rounds[:1, 0])[1])


def test_rates_of_the_same_tokens_gain_what_their_seconds_save(queries):
    tokens, seconds = queries
    one, other = (np.column_stack([tokens, seconds[:, i]]) for i in (0, 1))
    gain, saved = rate_gain(one, other), mat_gain(seconds[:, :1], seconds[:, 1])
    assert np.allclose(spans([gain]), spans([saved]))
    assert gain.p == saved.p
    more = rate_gain(one * [1.5, 1], other)  # half more tokens in the same time
    assert np.allclose(100 + more.value, 1.5 * (100 + gain.value))
    assert np.allclose(100 + more.low, 1.5 * (100 + gain.low))


def calls(path: Path) -> list[ast.Call]:
    """Calls of the estimators in a program."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            and node.func.id in ESTIMATORS]


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
                    f"{path}:{call.lineno}: {ast.unparse(call)}")


def test_nothing_else_draws_a_bootstrap():
    """A quantile of draws, or a normal interval, anywhere else would be a second estimator."""
    home = ROOT / "hedgespec" / "results" / "statistics.py"
    for path in {*(ROOT / "hedgespec").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")} - {home}:
        text = path.read_text(encoding="utf-8")
        for word in ("np.percentile", "1.96", "ddof", "multinomial(", "resampled_sums",
                     "(0.025, 0.975)"):
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
