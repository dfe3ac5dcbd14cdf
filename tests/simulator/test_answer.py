"""The tables behind figures of one answer, of found drafters and of seconds, against plain Python."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from hedgespec.bundled import DATA
from hedgespec.cli import main
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.simulator.adoption import WINDOW, rounds_until_best
from hedgespec.simulator.answer import gains_of_switching
from hedgespec.traces import Trace, read_trace
from tests.helpers.synthetic import write_trace

BUNDLED = DATA / "traces" / "domain-mix-t0.7"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return write_trace(tmp_path_factory.mktemp("answer") / "trace", closeness=(0.3, 0.9, 0.5))


@pytest.fixture(scope="module")
def results():
    return run_sweep(
        [BUNDLED],
        SweepSettings(
            selectors=("normalhedge", "ucbspec", "best-fixed", "fixed:generalist"), seeds=2
        ),
    )


@pytest.mark.parametrize("text", ["hedge", "uniform", "oracle", "fixed:drafter-1"])
def test_replay_shown_of_an_expectation_is_that_with_seed_0(trace, text):
    replayer = Replayer(trace)
    exact, replayed = replayer.run_exact(text), replayer.run(text, 0)
    for query, (begin, end) in enumerate(pairwise(trace.offsets)):
        expected = replayed.choice[begin:end].tolist()
        assert replayer.one_replay(exact, query).tolist() == expected
        assert replayer.one_replay(replayed, query).tolist() == expected


def plain_rounds_until_best(choice: np.ndarray, best: int) -> float:
    """From the decisions (L) of one query."""
    ran = [arm == best for arm in choice if arm >= 0]
    for rounds in range(WINDOW, len(ran) + 1):
        if 2 * sum(ran[rounds - WINDOW : rounds]) >= WINDOW:
            return rounds
    return np.nan


@pytest.mark.parametrize("text", ["ucbspec", "uniform", "fixed:drafter-1", "fixed:drafter-0"])
def test_rounds_until_the_best_are_those_of_plain_python(trace, text):
    replayer, offsets = Replayer(trace), trace.offsets
    for seed in range(10):
        run = replayer.run(text, seed)
        for best in range(3):
            found = rounds_until_best(run, np.full(len(offsets) - 1, best), offsets)
            expected = [
                plain_rounds_until_best(run.choice[begin:end], best)
                for begin, end in pairwise(offsets)
            ]
            np.testing.assert_array_equal(found, expected)


def test_expected_rounds_until_the_best_are_near_the_replayed_ones(tmp_path):
    replayer = Replayer(
        write_trace(tmp_path / "trace", lengths=(300, 260), closeness=(0.2, 0.95, 0.3))
    )
    best = replayer.expected_rounds.argmin(axis=1)
    exact = rounds_until_best(replayer.run_exact("hedge"), best, replayer.trace.offsets)
    replays = np.mean(
        [
            rounds_until_best(replayer.run("hedge", seed), best, replayer.trace.offsets)
            for seed in range(40)
        ],
        axis=0,
    )
    assert np.abs(exact - replays).max() < 6
    assert exact.min() > WINDOW


def test_query_shown_is_the_one_where_changing_helps_most():
    same, changing = np.tile([0.9, 0.1], (6, 1)), np.repeat([[0.9, 0.1], [0.2, 0.8]], 3, axis=0)
    gamma = np.concatenate([same, changing, same])
    assert gains_of_switching(gamma, np.array([0, 6, 12, 18])).argmax() == 1


def test_answer_table_tells_who_drafted_which_token(results):
    replayer = Replayer(read_trace(BUNDLED))
    learner = results.answer.filter(pl.col("selector") == "normalhedge")
    query = learner["query"][0]
    begin, end = replayer.trace.offsets[query : query + 2]
    assert learner["token"].to_list() == replayer.trace.tokens[begin:end].tolist()
    choice = replayer.run("normalhedge", 0).choice[begin:end]
    names = replayer.trace.manifest.drafter_names
    first = learner.unique("round", keep="first", maintain_order=True)
    assert first.select("position", "drafter").rows() == [
        (start, names[choice[start]]) for start in np.flatnonzero(choice >= 0)
    ]
    weights = learner.select(pl.selectors.starts_with("weight/")).to_numpy()
    assert np.allclose(weights[0], 1 / len(names))
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5)
    bandit = results.answer.filter(pl.col("selector") == "ucbspec")
    assert bandit.select(pl.selectors.starts_with("weight/").is_null().all()).row(0) == (
        (True,) * len(names)
    )
    fixed = results.answer.filter(pl.col("selector") == "fixed:generalist")
    assert np.array_equal(fixed["gamma"], replayer.trace.gamma[begin:end, 0, 0])


def test_curves_end_at_the_totals(results):
    last = results.curves.group_by("selector", maintain_order=True).last()
    totals = results.summary.group_by("selector", maintain_order=True).agg(
        pl.col("queries").first(),
        pl.col("tokens").first(),
        pl.col("rounds").mean(),
        seconds=(pl.col("tokens") / pl.col("tokens_per_second")).mean(),
    )
    both = last.join(totals, on="selector", suffix="_total")
    for name in ("rounds", "seconds"):
        assert np.allclose(both[name], both[f"{name}_total"] / both["queries"])
    best = last.filter(pl.col("selector") == "best-fixed")
    assert best.select("regret_rounds", "regret_seconds", "low", "seconds_high").row(0) == (0,) * 4
    behind = last.filter(pl.col("selector") == "fixed:generalist")
    assert np.isclose(behind["regret_seconds"][0], behind["seconds"][0] - best["seconds"][0])


def test_mean_gamma_of_a_fixed_drafter_is_the_trace_s(results):
    trace = read_trace(BUNDLED)
    found = results.per_query.filter(pl.col("selector") == "fixed:generalist")["gamma"]
    expected = [
        trace.gamma[begin:end, 0, 0].mean(dtype=float) for begin, end in pairwise(trace.offsets)
    ]
    assert np.allclose(found, expected)


@pytest.mark.slow
def test_answer_can_be_chosen(tmp_path, capsys):
    arguments = ["sim", "--traces", str(BUNDLED), "--selectors", "uniform", "--out", str(tmp_path)]
    assert main([*arguments, "--answer", "nothing"]) == 1
    assert "no trace has a query 'nothing'" in capsys.readouterr().err
    chosen = read_trace(BUNDLED).queries["query_id"][3]
    assert main([*arguments, "--answer", chosen]) == 0
    shown = pl.read_parquet(tmp_path / "answer.parquet")
    assert shown["query_id"].unique().to_list() == [chosen]


def test_delayed_feedback_shows_its_decisions_without_weights(trace):
    replayer = Replayer(trace)
    run = replayer.run("hedge", 1, parse_feedback("rounds:2"))
    assert replayer.one_replay(run, 3).tolist() == run.choice[trace.offsets[3] :].tolist()
