"""Evaluations are counted as live decoding makes them."""

from itertools import pairwise

import numpy as np
import pytest

from hedgespec.selectors.feedback import MOST_WAITING, parse_feedback
from hedgespec.selectors.learning import parse_loss
from hedgespec.simulator import Replayer
from tests.helpers.synthetic import write_trace

K = 4


@pytest.fixture(scope="module")
def replayer(tmp_path_factory):
    return Replayer(
        write_trace(tmp_path_factory.mktemp("evaluations") / "trace", lengths=(400, 1, 6, 90)), K
    )


def every(amount, starts):
    """Whether a position is learned from, and how far the text is known in a round."""
    return (
        lambda position: sum(start <= position for start in starts[1:]) % amount == 0,
        lambda number: starts[number],
    )


def first(amount, starts):
    return lambda position: position < amount, lambda number: starts[number]


def batch(amount, starts):
    def last(number):
        powers = [2**n for n in range(20) if 2**n < amount]
        rounds = [0, *powers, *range(amount, len(starts) + 1, amount)]
        return max(one for one in rounds if one <= number)

    return lambda position: True, lambda number: starts[last(number)]


def plain_evaluated(starts, window, learned_from, known):
    """Starts of rounds before which a needed loss is not known, in a text begun at 0."""
    evaluated = fed = 0
    for number, start in enumerate(starts):
        due = [position for position in range(fed, start) if position + window <= known(number)]
        fed += len(due)
        if (start - evaluated >= MOST_WAITING and start) or any(
            learned_from(position) and position + window > evaluated for position in due
        ):
            evaluated = start
            yield start


@pytest.mark.parametrize("policy", [every, first, batch])
@pytest.mark.parametrize("amount", [1, 2, 5, 12, 300])
@pytest.mark.parametrize("loss", ["length", "accept"])
def test_rounds_before_which_drafters_are_evaluated(replayer, policy, amount, loss):
    feedback, loss = parse_feedback(f"{policy.__name__}:{amount}"), parse_loss(loss)
    run = replayer.run("normalhedge", 3, feedback, loss)
    offsets = replayer.trace.offsets
    for begin, end in pairwise(offsets):
        starts = np.flatnonzero(run.choice[begin:end] >= 0).tolist()
        expected = np.zeros(end - begin, dtype=bool)
        expected[list(plain_evaluated(starts, loss.window(K), *policy(amount, starts)))] = True
        np.testing.assert_array_equal(run.evaluated[begin:end], expected)


@pytest.mark.parametrize("label", ["queued", "bold", "rounds:2", "round", "actual"])
def test_other_settings_evaluate_in_each_round_but_a_texts_first(replayer, label):
    run = replayer.run("normalhedge", 1, parse_feedback(label))
    expected = run.visits.copy()
    expected[replayer.trace.offsets[:-1]] = 0
    np.testing.assert_array_equal(run.evaluated, expected)


def test_exact_expectations_count_the_same(replayer):
    exact = replayer.run_exact("hedge").evaluated
    mean = np.mean([replayer.run("hedge", seed).evaluated for seed in range(400)], axis=0)
    assert abs(mean.sum() - exact.sum()) < 0.02 * exact.sum()
    assert exact[replayer.trace.offsets[:-1]].sum() == 0


@pytest.mark.parametrize("name", ["ucbspec", "uniform", "best-fixed", "metasd-ucb"])
def test_who_does_not_learn_from_all_evaluates_none(replayer, name):
    assert replayer.run(name, 0).evaluated.sum() == 0


def test_batches_need_few_evaluations_and_lose_nothing_but_time(replayer):
    """The same losses are learned in the end, in a sixteenth of the evaluations."""
    run = replayer.run("normalhedge", 0, parse_feedback("batch:16"))
    rounds, evaluations = run.visits[:400].sum(), run.evaluated[:400].sum()
    assert rounds / 16 - 1 <= evaluations <= rounds / 16 + 4
