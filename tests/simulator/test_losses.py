"""The loss `visit` against its formula and what it sums to, and which loss is the default."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hedgespec.results.labels import CENSORED
from hedgespec.selectors.feedback import ARRIVALS, Feedback, parse_feedback
from hedgespec.selectors.learning import default_loss, parse_loss
from hedgespec.selectors.losses import advance_visits, begin_visits, estimator_arrays
from hedgespec.selectors.online import OnlineSelector
from hedgespec.selectors.registry import parse_selector
from hedgespec.simulator import Replayer
from tests.helpers.plain import texts
from tests.helpers.synthetic import write_trace

K = 3
ESTIMATORS = ("gamma", "realised", "rb")


@pytest.fixture(scope="module", params=[(1, 1, 1), (4, 4, 1)], ids=["prefix-only", "deep"])
def replayer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "trace"
    return Replayer(write_trace(folder, lengths=(1, 2, 40, 7), depths=request.param), K)


def plain_visits(survive, end):
    """docs/metrics.md: sums over all rounds (s, l) that end where the next starts, at t = s + l."""
    length, arms = len(survive), survive.shape[2]
    deepest = survive.shape[1] - 1
    started, visit = np.zeros((length, arms)), np.zeros((length, arms))
    started[0] = visit[0] = 1
    for start, emitted in product(range(length), range(1, K + 2)):
        if start + emitted >= length:
            continue
        depths = [(start + step, min(step, deepest)) for step in range(emitted)]
        reached = np.prod([survive[at] for at in depths[:-1]], axis=0) * started[start]
        last = depths[-1] if emitted <= K else None  # no draft token stands behind K others
        started[start + emitted] += reached * (1 if last is None else 1 - survive[last])
        visit[start + emitted] += reached * (1 if last is None else 1 - end[last])
    return visit


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_visits_equal_their_transcription(replayer, estimator):
    losses = replayer.losses(parse_loss("visit", estimator))
    for _, part, gamma, accept in texts(replayer.trace):
        wanted = plain_visits(
            *(array.astype(float) for array in estimator_arrays(estimator, gamma, accept))
        )
        np.testing.assert_allclose(losses[part], wanted, rtol=1e-9)
    assert losses.min() >= 0
    assert losses.max() <= 1


def test_visits_given_the_text_sum_to_expected_rounds(replayer):
    losses = replayer.losses(parse_loss("visit:realised"))
    sums = np.add.reduceat(losses, replayer.trace.offsets[:-1])
    np.testing.assert_allclose(sums, replayer.expected_rounds, rtol=1e-9)


def test_visits_in_seconds_are_weighed_by_the_dearest_round(replayer):
    seconds = (1.0, 4.0, 2.0)
    timed = Replayer(replayer.trace, K, round_seconds=seconds)
    np.testing.assert_allclose(
        timed.losses(parse_loss("visit-seconds:realised")),
        replayer.losses(parse_loss("visit:realised")) * np.array(seconds) / 4,
    )


def test_realised_and_rb_are_unbiased_over_all_texts_and_gamma_is_not():
    """Two words, drafters of which depend on the whole prefix: every text of five tokens."""
    rng = np.random.default_rng(0)
    length = 5
    p, q = (
        {
            prefix: rng.dirichlet(np.ones(2))
            for size in range(length)
            for prefix in product(range(2), repeat=size)
        }
        for _ in range(2)
    )
    total = {estimator: np.zeros(length) for estimator in ESTIMATORS}
    for text in product(range(2), repeat=length):
        chance = np.prod([p[text[:at]][text[at]] for at in range(length)])
        gamma = np.array([np.minimum(p[text[:at]], q[text[:at]]).sum() for at in range(length)])
        accept = np.array(
            [min(1, q[text[:at]][text[at]] / p[text[:at]][text[at]]) for at in range(length)]
        )
        for estimator in ESTIMATORS:
            survive, end = estimator_arrays(estimator, gamma[:, None, None], accept[:, None, None])
            phases, visits = np.empty((1, K + 1)), np.empty(1)
            begin_visits(phases, visits)
            for at in range(length):
                total[estimator][at] += chance * visits[0]
                advance_visits(survive, end, at, phases, visits)
    np.testing.assert_allclose(total["rb"], total["realised"], rtol=1e-12)
    assert np.abs(total["gamma"] - total["realised"]).max() > 0.01


@pytest.mark.parametrize(
    ("feedback", "timed", "label"),
    [
        ("queued", True, "seconds:gamma"),
        ("queued", False, "accept"),
        ("every:4", True, "seconds:gamma"),
        ("censored", True, "length:gamma"),
        ("censored+round", False, "length:gamma"),
    ],
)
def test_the_default_loss_is_in_seconds_where_these_are_known(
    replayer, feedback, timed, label, monkeypatch
):
    monkeypatch.setattr(OnlineSelector, "_compile", lambda online: None)  # it chooses nothing here
    setting, seconds = parse_feedback(feedback), (1.0, 3.0, 2.0) if timed else None
    chosen = Replayer(replayer.trace, K, round_seconds=seconds)
    assert chosen.default_loss(setting).label == label
    assert chosen.run("hedge", 0, setting).loss_label == label
    online = OnlineSelector(
        parse_selector("hedge"),
        3,
        K,
        setting,
        round_seconds=None if seconds is None else np.array(seconds),
    )
    assert online.loss.label == label


def test_what_cuts_sums_off_has_the_length_loss():
    for name, policy in ARRIVALS.items():
        assert policy.cut == (name == CENSORED)
        assert policy.cut == (default_loss(Feedback(name), True) == parse_loss("length"))
    assert replace(parse_loss("visit"), seconds=True) == parse_loss("visit-seconds")
