"""Switching in hindsight, regrets and acceptance against plain Python."""

import numpy as np
import pytest

from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.simulator.measures import Measures
from hedgespec.traces import Trace
from tests.helpers.synthetic import write_trace

K = 3


@pytest.fixture(scope="module", params=[(1, 1, 1), (3, 1, 3)], ids=["flat", "deep"])
def trace(request, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return write_trace(
        tmp_path_factory.mktemp("measures") / "trace", depths=request.param, lengths=(50, 1, 30)
    )


def accept(trace: Trace, t: int, step: int, arm: int) -> float:
    depth = min(step, trace.log_q.shape[1] - 1)
    return float(np.exp(min(trace.log_q[t + step, depth, arm] - trace.log_p[t + step], 0)))


def law(trace: Trace, t: int, end: int, arm: int) -> dict[int, float]:
    """P(tokens emitted) of a round from t."""
    left, found = 1.0, {}
    for step in range(min(K, end - t - 1)):
        found[step + 1] = left * (1 - accept(trace, t, step, arm))
        left *= accept(trace, t, step, arm)
    return {**found, min(K, end - t - 1) + 1: left}


def test_switching_has_the_fewest_rounds(trace):
    """The recursion in plain Python; no drafter, and no greedy oracle, has fewer."""
    replayer = Replayer(trace, K)
    run = replayer.run_exact("best-switching")
    rounds = replayer.rounds_per_query(run)
    for query, (begin, end) in enumerate(zip(trace.offsets[:-1], trace.offsets[1:], strict=True)):
        fewest = {end: 0.0}
        for t in range(end - 1, begin - 1, -1):
            fewest[t] = 1 + min(
                sum(chance * fewest[t + m] for m, chance in law(trace, t, end, arm).items())
                for arm in range(3)
            )
        assert rounds[query] == pytest.approx(fewest[begin], rel=1e-5)
    for other in ("oracle", "best-fixed", "hedge"):
        assert (replayer.rounds_per_query(replayer.run_exact(other)) >= rounds - 1e-9).all()


def test_regrets_of_a_replay_are_sums_over_its_tokens_and_rounds(trace):
    replayer = Replayer(trace, K)
    measures = Measures(replayer)
    best = replayer.expected_rounds.argmin(axis=1)
    expected = {
        (t, arm): sum(m * chance for m, chance in law(trace, t, int(end), arm).items())
        for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True)
        for t in range(begin, end)
        for arm in range(3)
    }
    for text in ("uniform", "ucbspec"):
        run = replayer.run(text, 4)
        token, length = np.zeros(3), np.zeros(3)
        for query, (begin, end) in enumerate(zip(trace.offsets, trace.offsets[1:], strict=False)):
            arm = -1
            for t in range(begin, end):
                if run.choice[t] >= 0:
                    arm = run.choice[t]
                    length[query] += expected[t, best[query]] - expected[t, arm]
                token[query] += float(trace.gamma[t, 0, best[query]]) - trace.gamma[t, 0, arm]
        np.testing.assert_allclose(measures.token_regret(run), token, atol=1e-4)
        np.testing.assert_allclose(measures.length_regret(run), length, atol=1e-4)


def test_expected_regrets_are_means_of_replays(trace):
    replayer = Replayer(trace, K)
    measures = Measures(replayer)
    exact = replayer.run_exact("uniform")
    runs = [replayer.run("uniform", seed) for seed in range(400)]
    for regret in (measures.token_regret, measures.length_regret):
        found = np.array([regret(run) for run in runs])
        error = found.std(axis=0) / np.sqrt(len(runs)) + 1e-6
        assert (np.abs(found.mean(axis=0) - regret(exact)) < 5 * error).all()
        np.testing.assert_allclose(regret(replayer.run_exact("best-fixed")), 0, atol=1e-5)
        assert (regret(replayer.run_exact("none"))[[0, 2]] > 0).all(), "text 1 is one token"


def test_acceptance_is_that_of_drafts_from_round_starts(trace):
    replayer = Replayer(trace, K)
    for arm in range(3):
        visits = replayer.run_exact(f"fixed:drafter-{arm}").visits
        reached, accepted = np.zeros(K), np.zeros(K)
        for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True):
            for t in range(begin, end):
                chance = visits[t]
                for step in range(min(K, end - t)):
                    reached[step] += chance
                    chance *= accept(trace, t, step, arm)
                    accepted[step] += chance
        found = Measures(replayer).acceptance(arm)
        np.testing.assert_allclose(found.at, accepted / visits.sum(), rtol=1e-5)
        np.testing.assert_allclose(found.given, accepted / reached, rtol=1e-5)
        assert found.rate == pytest.approx(accepted.sum() / (K * visits.sum()), rel=1e-5)


def test_tables_have_the_measures(trace):
    results = run_sweep(
        [trace.folder], SweepSettings(("fixed:drafter-0", "best-fixed"), draft_lengths=(K,))
    )
    fixed, best = results.summary.iter_rows(named=True)
    assert len(fixed["accepted_at"]) == len(fixed["accepted_given"]) == K
    assert fixed["accepted_at"][0] == fixed["accepted_given"][0]
    assert best["acceptance_rate"] is best["accepted_at"] is None
    assert results.per_query["token_regret"].is_not_null().all()
