"""Driving a selector round by round gives the decisions of the compiled replay, bit for bit."""

import numpy as np
import pytest

from hedgespec.errors import HedgespecError
from hedgespec.selectors import BUILT_IN, CHOSEN, FULL, built_in, limits, parse_selector
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.learning import parse_loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.simulator import Replayer
from hedgespec.traces import Trace
from tests.helpers.faulty_learners import LATE, LATE_FAULTS, learner
from tests.helpers.marks import slow_but
from tests.helpers.online import online_choice
from tests.helpers.synthetic import write_trace

LENGTH = 4
FEEDBACKS = (
    "queued",
    "censored",
    "bold",
    "rounds:1",
    "rounds:3",
    "every:2",
    "round",
    "rounds:2+every:3",
    "every:2+round",
    "censored+round",
)
LOSSES = (
    ("length", "gamma"),
    ("length", "rb"),
    ("length", "realised"),
    ("accept", "gamma"),
    ("hybrid:0.3", "rb"),
    ("visit", "gamma"),
    ("visit", "rb"),
)


@pytest.fixture(scope="module", params=[(1, 1, 1), (5, 1, 5)], ids=["flat", "deep"])
def trace(request, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return write_trace(
        tmp_path_factory.mktemp("online") / "trace", depths=request.param, lengths=(60, 1, 5, 130)
    )


@pytest.mark.matrix
@pytest.mark.parametrize("name", slow_but(["normalhedge", "exp3spec"], BUILT_IN))
def test_every_selector_decides_as_in_a_replay(trace, name):
    for seed in range(3):
        run = Replayer(trace, LENGTH).run(name, seed)
        online = OnlineSelector(parse_selector(name), 3, LENGTH, seed=seed)
        np.testing.assert_array_equal(online_choice(trace, run.choice, online), run.choice)
    assert len(set(run.choice[run.choice >= 0])) > 1, "there is something to choose"


@pytest.mark.matrix
@pytest.mark.parametrize("feedback", slow_but(["rounds:2+every:3"], FEEDBACKS))
@pytest.mark.parametrize("name", slow_but(["normalhedge"], ["normalhedge", "hedge", "ftpl"]))
def test_every_feedback_setting_is_fed_as_in_a_replay(trace, name, feedback):
    setting = parse_feedback(feedback)
    run = Replayer(trace, LENGTH).run(name, 5, setting)
    online = OnlineSelector(parse_selector(name), 3, LENGTH, setting, seed=5)
    for lazy in (False, True):
        np.testing.assert_array_equal(online_choice(trace, run.choice, online, lazy), run.choice)


@pytest.mark.slow
def test_skipped_rounds_need_few_evaluations(trace):
    """What is not learned from is not asked for."""
    asked = {}
    for feedback in ("queued", "every:8"):
        setting = parse_feedback(feedback)
        run = Replayer(trace, LENGTH).run("hedge", 5, setting)
        online = OnlineSelector(parse_selector("hedge"), 3, LENGTH, setting, seed=5)
        needs, count = online.needs, [0, 0]

        def counting(start, needs=needs, count=count):
            count[0] += 1
            count[1] += needs(start) > 0
            return needs(start)

        online.needs = counting
        online_choice(trace, run.choice, online, lazy=True)
        asked[feedback] = count[1] / count[0]
    assert asked["queued"] > 0.8
    assert asked["every:8"] < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("feedback", ["actual", "rounds:2+actual", "every:2+actual"])
def test_plays_that_were_in_force_are_the_replays(trace, feedback):
    setting = parse_feedback(feedback)
    run = Replayer(trace, LENGTH).run("normalhedge", 1, setting)
    online = OnlineSelector(parse_selector("normalhedge"), 3, LENGTH, setting, seed=1)
    np.testing.assert_array_equal(online_choice(trace, run.choice, online), run.choice)


@pytest.mark.matrix
@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("prefill", [False, True])
def test_every_loss_is_the_replays(trace, loss, prefill):
    chosen = parse_loss(*loss, prefill=prefill)
    replayer = Replayer(trace, LENGTH)
    run = replayer.run("normalhedge", 2, None, chosen)
    online = OnlineSelector(parse_selector("normalhedge"), 3, LENGTH, None, chosen, seed=2)
    np.testing.assert_array_equal(online_choice(trace, run.choice, online), run.choice)


@pytest.mark.slow
@pytest.mark.parametrize("feedback", ["every:2", "limited:2"])
def test_a_prefilled_loss_of_several_draft_lengths_is_the_replays(trace, feedback):
    setting, loss = parse_feedback(feedback), parse_loss("length", prefill=True)
    replayer = Replayer(trace, arm_lengths=(0, 1, LENGTH))
    run = replayer.run("normalhedge", 2, setting, loss)
    online = OnlineSelector(
        parse_selector("normalhedge"), replayer.arms, LENGTH, setting, loss, seed=2
    )
    found = online_choice(trace, run.choice, online, arms=replayer.arms)
    np.testing.assert_array_equal(found, run.choice)
    assert len(set(run.choice[run.choice >= 0])) > 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["visit-seconds:rb", "seconds:gamma"])
def test_losses_in_seconds_are_the_replays_also_where_positions_are_passed(trace, kind):
    seconds, loss, feedback = (1.0, 3.0, 2.0), parse_loss(kind), parse_feedback("every:2")
    replayer = Replayer(trace, LENGTH, round_seconds=seconds)
    run = replayer.run("normalhedge", 2, feedback, loss)
    online = OnlineSelector(
        parse_selector("normalhedge"), 3, LENGTH, feedback, loss, 2, np.array(seconds)
    )
    np.testing.assert_array_equal(online_choice(trace, run.choice, online), run.choice)
    positions, losses = online.learned
    assert len(positions) > 10
    np.testing.assert_array_equal(losses, replayer.losses(loss)[trace.offsets[-2] + positions])


@pytest.mark.slow
def test_other_seeds_and_losses_choose_otherwise(trace):
    run = Replayer(trace, LENGTH).run("hedge", 0)
    for online in (
        OnlineSelector(parse_selector("hedge"), 3, LENGTH, seed=1),
        OnlineSelector(parse_selector("hedge"), 3, LENGTH, parse_feedback("bold")),
    ):
        assert (online_choice(trace, run.choice, online) != run.choice).any()


@pytest.mark.parametrize(
    ("selector", "options", "message"),
    [
        ("hedge", {"feedback": parse_feedback("oracle")}, "not written yet"),
        ("metasd-ucb:reward=1", {}, "rewarded by text that is not written yet"),
        ("hedge", {"loss": parse_loss("seconds")}, "needs the seconds of a round"),
        ("ucbspec", {"loss": parse_loss("accept")}, "loss='accept' makes no sense"),
    ],
)
def test_what_cannot_be_had_live_is_refused(selector, options, message):
    with pytest.raises(HedgespecError, match=message):
        OnlineSelector(parse_selector(selector), 3, LENGTH, **options)


def test_both_kinds_of_feedback_are_covered():
    assert {built_in(name).feedback for name in BUILT_IN} >= {CHOSEN, FULL}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "weights vanish",
        "helper out of bounds",
        "raises",
        "never returns",
        "bandit out of bounds",
        "bandit raises",
    ],
)
def test_faults_of_a_users_learner_are_told_live(tmp_path_factory, long_trace, name, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.5)
    fault = LATE_FAULTS[name]
    # One file for all: another one would be compiled anew.
    file = tmp_path_factory.getbasetemp() / "online_learner.py"
    file.write_text(fault.text)
    online = OnlineSelector(parse_selector(f"{file}:LEARNER:rate={fault.rate}"), 3, LENGTH)
    choice = np.full(len(long_trace.tokens), -1)
    choice[::2] = 0
    with pytest.raises(HedgespecError, match=rf"{file}:LEARNER: {file}, line \d+, in "):
        online_choice(long_trace, choice, online)


@pytest.fixture(scope="module")
def long_trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("online") / "trace", lengths=(2 * LATE,))


def test_a_learner_too_small_for_the_pool_is_refused_before_it_decodes(tmp_path):
    (tmp_path / "mine.py").write_text(learner(size="4"))
    with pytest.raises(HedgespecError, match=r"in learn: .*\(8 drafters"):
        OnlineSelector(parse_selector(f"{tmp_path / 'mine.py'}:LEARNER"), 8, LENGTH)
