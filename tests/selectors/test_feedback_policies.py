"""What every feedback policy of the registry must keep to, and with it every new one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgespec.costs.file import with_costs
from hedgespec.selectors import parse_selector
from hedgespec.selectors.feedback import (
    ARRIVALS,
    MODIFIERS,
    NO_END,
    DelayPolicy,
    EvaluationPolicy,
    Feedback,
    SetPolicy,
    feedback_help,
    modifier_help,
    needed,
    next_due,
    parse_feedback,
)
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.simulator import Replayer
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
from tests.helpers.marks import slow_but
from tests.helpers.online import online_choice
from tests.helpers.synthetic import write_trace

LENGTH, AMOUNT = 4, 3
NUMBERS = {
    "eliminate": "0.5,0.125",
    "limited": "2",
    "binned": "0.5",
    "budget": "0.05",
}  # of set policies
LABELS = [
    *ARRIVALS,
    *(
        f"{name}:{NUMBERS.get(name, AMOUNT)}" if policy.symbol else name
        for name, policy in MODIFIERS.items()
    ),
]
LIVE = [
    label
    for label in LABELS
    if parse_feedback(label).policy.live and not parse_feedback(label).timed
]
COSTS = Costs(
    "test",
    "float32",
    256,
    LENGTH,
    TargetCosts(0.02, 0.03),
    {"drafter-0": DrafterCosts(0.001, 0.004, 0.002)},
)
ROUNDS = st.lists(st.integers(1, LENGTH + 1), min_size=1, max_size=40)


def due(feedback, window, emitted):
    """(before the round at, position, round it lies in) of all that is learned, from next_due."""
    schedule, key = feedback.schedule(window), np.int64(7)
    starts = np.cumsum([0, *emitted])
    fed, fed_round, found = 0, -1, []
    for number, start in enumerate(starts[:-1]):
        while True:
            position, fed, fed_round = next_due(
                schedule, key, starts[:number].copy(), number, start, starts[-1], fed, fed_round
            )
            if position < 0:
                break
            found.append((int(start), position, fed_round))
    return starts, found


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(
        tmp_path_factory.mktemp("policies") / "trace", depths=(5, 1, 5), lengths=(60, 1, 5, 130)
    )


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("window", slow_but([LENGTH], [1, LENGTH]))
@given(emitted=ROUNDS)
@settings(max_examples=30, deadline=None)
def test_positions_come_in_order_once_and_never_before_they_are_written(label, window, emitted):
    feedback = parse_feedback(label)
    starts, found = due(feedback, window, emitted)
    positions = [position for _, position, _ in found]
    assert positions == sorted(set(positions))
    for start, position, number in found:
        assert position < start
        assert starts[number] <= position < starts[number + 1]
        if not feedback.policy.cut:
            assert position + window <= (start if feedback.policy.live else starts[-1])


@pytest.mark.parametrize("label", LIVE)
@pytest.mark.parametrize("window", slow_but([LENGTH], [1, LENGTH]))
@given(emitted=ROUNDS, evaluated=st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_what_is_needed_covers_what_is_due(label, window, emitted, evaluated):
    feedback = parse_feedback(label)
    schedule, key = feedback.schedule(window), np.int64(7)
    starts = np.cumsum([0, *emitted])
    _, found = due(feedback, window, emitted)
    fed, fed_round = 0, -1
    for number, start in enumerate(starts[:-1]):
        before = starts[:number].copy()
        mine = [position for begun, position, _ in found if begun == start]
        until = needed(schedule, key, before, number, start, fed, fed_round, min(evaluated, start))
        assert until <= start
        if until == 0 and not feedback.policy.cut:
            assert all(position + window <= evaluated for position in mine)
        elif until:
            assert mine
        position = 0
        while position >= 0:
            position, fed, fed_round = next_due(
                schedule, key, before, number, start, NO_END, fed, fed_round
            )


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("label", slow_but(["queued"], LIVE))
@pytest.mark.parametrize("name", slow_but(["normalhedge"], ["normalhedge", "ftpl"]))
def test_live_decoding_is_fed_as_the_replay(trace, name, label):
    feedback = parse_feedback(label)
    run = (
        Replayer(trace, LENGTH).run(name, 3, feedback)
        if (name == "normalhedge" or not feedback.actual)
        else None
    )
    if run is None:
        pytest.skip("ftpl does not look at what was played")
    online = OnlineSelector(parse_selector(name), 3, LENGTH, feedback, seed=3)
    for lazy in (False, True):
        np.testing.assert_array_equal(online_choice(trace, run.choice, online, lazy), run.choice)


@pytest.fixture(scope="module")
def undecided(tmp_path_factory):
    """On drafters so much alike the learner stays undecided."""
    return Replayer(
        with_costs(
            write_trace(
                tmp_path_factory.mktemp("policies") / "trace",
                lengths=(2500,),
                closeness=(0.5, 0.5, 0.5),
            ),
            COSTS,
        ),
        LENGTH,
    )


@pytest.mark.parametrize("label", LABELS)
def test_a_policy_changes_what_is_decided(undecided, label):
    feedback = parse_feedback(label)
    runs = [
        undecided.run("normalhedge", seed, setting, Loss()).choice.tolist()
        for setting in (feedback, Feedback())
        for seed in range(6)
    ]
    assert (runs[:6] != runs[6:]) == (feedback != Feedback())


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_read_back_and_policies_are_explained(label):
    feedback = parse_feedback(label)
    assert feedback.label == label
    name = label.partition(":")[0]
    help_texts = feedback_help() | {
        key.partition(":")[0]: text for key, text in modifier_help().items()
    }
    assert help_texts[name]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, policy in MODIFIERS.items()
        if isinstance(policy, DelayPolicy | EvaluationPolicy | SetPolicy)
    ],
)
def test_modifiers_with_amounts_refuse_others(name):
    symbol = MODIFIERS[name].symbol
    for bad in [f"{name}:0", f"{name}:-1", f"{name}:x", name] if symbol else [f"{name}:2"]:
        with pytest.raises(Exception, match="unknown feedback"):
            parse_feedback(bad)


def test_old_names_are_still_read():
    assert parse_feedback("oracle") == parse_feedback("foresight")
