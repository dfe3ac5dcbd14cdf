"""The compiled kernels against hedgespec/reference.py, which is plain Python."""

from pathlib import Path

import numpy as np
import pytest

from hedgespec import reference
from hedgespec.selectors import BUILT_IN, CHOSEN, FULL, built_in
from hedgespec.selectors.uniforms import query_key
from hedgespec.simulator import Replayer
from hedgespec.traces import read_trace
from tests.helpers.plain import Wrapped, length_loss, numbers, texts
from tests.helpers.synthetic import write_trace

K = 3
FULL_LEARNERS = [name for name in BUILT_IN if built_in(name).feedback == FULL]
BANDITS = [name for name in BUILT_IN if built_in(name).feedback == CHOSEN]


@pytest.fixture(scope="module", params=[(1, 1, 1), (4, 4, 1)], ids=["prefix-only", "deep"])
def trace(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(folder, lengths=(1, 2, 40, 7, 60), depths=request.param)
    return read_trace(folder)


def check(trace, replayer, text, seed, learner):
    """The kernel's decisions are those of the reference with `learner(key, gamma)`."""
    choice = replayer.run(text, seed, None, length_loss(text)).choice
    for query, part, gamma, accept in texts(trace):
        key = query_key(seed, query)
        rounds = reference.replay(gamma, accept, K, learner(key, gamma), *numbers(key, len(gamma)))
        wanted = np.full(len(gamma), -1)
        for start, drafter, *_ in rounds:
            wanted[start] = drafter
        np.testing.assert_array_equal(choice[part], wanted, err_msg=f"{text} {seed} {query}")


@pytest.mark.parametrize("text", [*FULL_LEARNERS, *BANDITS, "uniform"])
def test_every_learner_decides_as_the_reference(trace, text):
    replayer = Replayer(trace, K)
    for seed in range(2):
        check(trace, replayer, text, seed, lambda key, gamma: Wrapped(text, 3, K, key, gamma))


def test_the_references_own_hedge_is_hedge(trace):
    for seed in range(3):
        check(trace, Replayer(trace, K), "hedge", seed, lambda key, gamma: reference.Hedge(3))


def test_a_fixed_drafter_is_a_learner_that_learns_nothing(trace):
    class Fixed(reference.Hedge):
        def play(self, position):
            return np.eye(3)[1]

    for seed in range(3):
        check(trace, Replayer(trace, K), "fixed:drafter-1", seed, lambda key, gamma: Fixed(3))


@pytest.mark.parametrize("text", [name for name in FULL_LEARNERS if not built_in(name).draws])
def test_exact_plays_are_those_of_rounds_from_every_position(trace, text):
    """Where nothing is accepted a round starts at every token."""
    plays = Replayer(trace, K).run_exact(text, None, length_loss(text)).plays
    for query, part, gamma, accept in texts(trace):
        key = query_key(0, query)
        rounds = reference.replay(
            gamma, 0 * accept, K, Wrapped(text, 3, K, key), *numbers(key, len(gamma))
        )
        np.testing.assert_allclose(
            plays[part], [play for _, _, play, _ in rounds], rtol=1e-12, atol=1e-15
        )


def test_the_account_is_the_tables(trace):
    replayer = Replayer(trace, K)
    run, best = replayer.run("ucbspec", 0), replayer.run("best-fixed", 0)
    rounds, base = replayer.rounds_per_query(run), replayer.rounds_per_query(best)
    seconds = np.array([0.1, 0.2, 0.3])
    for query, _, gamma, accept in texts(trace):
        key = query_key(0, query)
        found = reference.replay(
            gamma, accept, K, Wrapped("ucbspec", 3, K, key, gamma), *numbers(key, len(gamma))
        )
        mat, regret, speed = reference.account(found, base[query], seconds)
        assert mat == pytest.approx(len(gamma) / rounds[query])
        assert regret == rounds[query] - base[query]
        assert speed == pytest.approx(len(gamma) / (run.usage[query] @ seconds))


def test_what_is_recorded_is_the_recorders():
    torch = pytest.importorskip("torch")
    from hedgespec.models.acceptance import reduce_pair

    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(9), 20), rng.dirichlet(np.ones(9), (20, 2, 3))
    text = np.array([rng.choice(9, p=row) for row in p])
    gamma, accept = reference.record(p, q, text)
    for depth in range(2):
        for drafter in range(3):
            found = reduce_pair(
                torch.tensor(p), torch.tensor(q[:, depth, drafter]), torch.tensor(text)
            )
            np.testing.assert_allclose(found["gamma"], gamma[:, depth, drafter])
            log_p = np.log(p[np.arange(20), text])
            given = np.exp(np.minimum(found["log_q"].numpy() - log_p, 0))
            np.testing.assert_allclose(given, accept[:, depth, drafter])


def test_the_reference_is_short():
    assert len(Path(reference.__file__).read_text().splitlines()) <= 80
