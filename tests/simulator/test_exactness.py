"""Replaying a recorded text has the distribution of decoding it live (science: docs/metrics.md)."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from hedgespec.selectors import losses
from hedgespec.selectors.feedback import Feedback
from hedgespec.simulator import Replayer, replay_full
from hedgespec.simulator.tasks import FullTask, LearnerRun
from hedgespec.traces import Trace
from tests.helpers.laws import two_sample_p
from tests.helpers.plain import length_loss
from tests.helpers.real_decoding import TinyPair, decode, recorded_texts

EPISODES = 100_000
LENGTH, VOCABULARY, DRAFTERS, DRAFT_LENGTH = 4, 3, 2, 2


@pytest.fixture(scope="module")
def pair() -> TinyPair:
    return TinyPair.random(5, VOCABULARY, LENGTH, DRAFTERS)


def cells(tokens: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """One number per (text, round starts, drafters)."""
    code = np.zeros(len(tokens), dtype=np.int64)
    for position in range(LENGTH):
        code = code * VOCABULARY + tokens[:, position]
        code = code * (DRAFTERS + 1) + choice[:, position] + 1
    return code


@pytest.mark.slow
@pytest.mark.parametrize("text", ["uniform", "exp3spec", "ucbspec", "hedge:eta=5", "normalhedge"])
def test_replay_equals_real_speculative_decoding(pair, text):
    """Joint law of text, round starts and drafters; the control below shows the test can fail."""
    tokens, choice = decode(pair, text, DRAFT_LENGTH, EPISODES, seed=1)
    trace = recorded_texts(pair, EPISODES, seed=2)
    replayed = Replayer(trace).run(text, 3, loss=length_loss(text)).choice.reshape(-1, LENGTH)
    texts = trace.tokens.reshape(-1, LENGTH)
    assert two_sample_p(cells(tokens, choice), cells(texts, replayed)) > 1e-3
    live_rounds, replay_rounds = ((c >= 0).sum(axis=1) for c in (choice, replayed))
    error = np.sqrt((live_rounds.var() + replay_rounds.var()) / EPISODES)
    assert abs(live_rounds.mean() - replay_rounds.mean()) < 4 * error


@pytest.mark.slow
def test_replay_of_a_fixed_drafter_equals_decoding_with_it(pair):
    """Live, both arms are the same drafter; replayed, the first is fixed."""
    twice = TinyPair(pair.p, pair.q[[0, 0]])
    tokens, choice = decode(twice, "uniform", DRAFT_LENGTH, EPISODES, seed=1)
    trace = recorded_texts(twice, EPISODES, seed=2)
    replayed = Replayer(trace).run("fixed:d0", 3).choice.reshape(-1, LENGTH)
    texts = trace.tokens.reshape(-1, LENGTH)
    assert two_sample_p(cells(tokens, np.minimum(choice, 0)), cells(texts, replayed)) > 1e-3


@pytest.mark.slow
def test_control_replaying_with_gamma_instead_of_a_is_noticed(pair):
    tokens, choice = decode(pair, "uniform", DRAFT_LENGTH, EPISODES, seed=1)
    trace = recorded_texts(pair, EPISODES, seed=2)
    wrong = np.log(trace.gamma) + trace.log_p[:, None, None]
    replayed = Replayer(replace(trace, log_q=wrong)).run("uniform", 3).choice.reshape(-1, LENGTH)
    assert (
        two_sample_p(cells(tokens, choice), cells(trace.tokens.reshape(-1, LENGTH), replayed))
        < 1e-12
    )


@pytest.mark.slow
def test_real_decoding_is_lossless(pair):
    """The reference decoder itself: emitted text is distributed as the target's."""
    tokens, _ = decode(pair, "normalhedge", DRAFT_LENGTH, EPISODES, seed=4)
    code, probability = np.zeros(1, dtype=np.int64), np.ones(1)
    for position in range(LENGTH):
        probability = (probability[:, None] * pair.p[position, code]).reshape(-1)
        code = (code[:, None] * VOCABULARY + np.arange(VOCABULARY)).reshape(-1)
    seen = np.zeros(len(tokens), dtype=np.int64)
    for position in range(LENGTH):
        seen = seen * VOCABULARY + tokens[:, position]
    counts = np.bincount(seen, minlength=VOCABULARY**LENGTH)[code]
    expected = probability * EPISODES
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, len(code) - 1) > 1e-3


def test_realised_acceptance_averages_to_gamma(pair):
    a = np.minimum(1, pair.q / pair.p)
    np.testing.assert_allclose(
        (pair.p * a).sum(axis=-1), np.minimum(pair.p, pair.q).sum(axis=-1), atol=1e-12
    )


def estimates(pair: TinyPair, trace: Trace) -> dict[str, np.ndarray]:
    """EAL estimates of drafter 0 at the first position, one per text."""
    a = np.minimum(1.0, np.exp(trace.log_q - trace.log_p[:, None, None]))
    result = {}
    for estimator in losses.ESTIMATORS:
        survive, end = losses.estimator_arrays(estimator, trace.gamma, a)
        result[estimator] = np.array(
            [losses.expected_emitted(survive, end, start, 3, 0) for start in trace.offsets[:-1]]
        )
    return result


def test_realised_and_rb_estimate_the_round_length_without_bias_and_gamma_does_not(pair):
    """True EAL by enumeration of the rule; gamma ignores that acceptance and text correlate."""
    true, reach = 1.0, np.ones(1)
    code = np.zeros(1, dtype=np.int64)
    for position in range(3):
        both = np.minimum(pair.p[position, code], pair.q[0, position, code])
        reach = (reach[:, None] * both).reshape(-1)
        true += reach.sum()
        code = (code[:, None] * VOCABULARY + np.arange(VOCABULARY)).reshape(-1)
    found = estimates(pair, recorded_texts(pair, 100_000, seed=8))
    z = {
        name: (values.mean() - true) / (values.std() / np.sqrt(len(values)))
        for name, values in found.items()
    }
    assert abs(z["realised"]) < 4
    assert abs(z["rb"]) < 4
    assert abs(z["gamma"]) > 8
    assert found["gamma"].std() < found["rb"].std() < found["realised"].std()


def test_a_perfect_drafter_has_no_loss_and_a_useless_one_the_most():
    ones, zeros = np.ones((6, 1, 1)), np.zeros((6, 1, 1))
    loss = np.empty(1)
    losses.length_loss(ones, ones, 0, 5, 5, loss)
    assert loss[0] == 0
    losses.length_loss(zeros, zeros, 0, 5, 5, loss)
    assert loss[0] == pytest.approx(1 - 1 / 6)


def test_length_loss_equals_the_papers_other_form():
    """sum_k k (1 - gamma_k) prod_{j<k} gamma_j with gamma_{K+1} := 0."""
    gamma = np.random.default_rng(0).random((5, 1, 3))
    loss = np.empty(3)
    losses.length_loss(gamma, gamma, 0, 5, 5, loss)
    extended = np.concatenate([gamma[:, 0], np.zeros((1, 3))])
    before = np.concatenate([np.ones((1, 3)), np.cumprod(gamma[:, 0], axis=0)])
    emitted = (np.arange(1, 7)[:, None] * (1 - extended) * before).sum(axis=0)
    np.testing.assert_allclose(loss, 1 - emitted / 6, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("draft_length", [1, 3, 5])
def test_queued_feedback_is_never_early_and_at_most_2k_minus_1_late(draft_length, monkeypatch):
    """The replay loop itself, run as Python with a learner that notes when losses arrive."""
    tokens = 4000
    choice = np.full(tokens, -1, dtype=np.int16)
    arrival = {}  # position -> start of the round before which its loss arrived

    def note(state, params, position, played, loss):
        arrival[position] = rounds_end(choice)

    def rounds_end(choice: np.ndarray) -> int:
        last = int(np.flatnonzero(choice >= 0)[-1])
        return last + lengths[last]

    lengths = {}
    real = replay_full.emitted_tokens

    def noted_length(acceptance, arm, begin, start, end, draft_length, key):
        lengths[start] = real(acceptance, arm, begin, start, end, draft_length, key)
        return lengths[start]

    monkeypatch.setattr(replay_full, "learn", note)
    monkeypatch.setattr(replay_full, "emitted_tokens", noted_length)
    acceptance = np.full((tokens, 1, 2), 0.8, dtype=np.float32)
    replay_full.replay.py_func(
        0,
        1,
        FullTask(
            np.array([0]),
            np.array([0, tokens]),
            np.array([0]),
            acceptance,
            np.zeros((tokens, 2)),
            acceptance,
            acceptance,
            Feedback().schedule(draft_length),
            LearnerRun(draft_length, False, False, np.zeros((1, 3)), 0, np.array([-1.0]), 3),
        ),
        choice,
    )
    assert list(arrival) == list(range(len(arrival))), "every loss once and in order"
    assert len(arrival) >= tokens - 2 * draft_length - 1
    # Joulani's delay: 0 means usable before the decision for the next position.
    delays = [start - 1 - position for position, start in arrival.items()]
    assert min(delays) == draft_length - 1, "as soon as the K positions are there"
    assert max(delays) == 2 * draft_length - 1
