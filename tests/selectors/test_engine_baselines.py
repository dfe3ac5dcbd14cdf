"""What engines do, against plain transcriptions; and learners that ask for the arms' lengths."""

from collections import deque
from itertools import pairwise

import numpy as np
import pytest

from hedgespec.selectors import EMITTED, OUTCOMES, parse_selector
from hedgespec.selectors.online import OnlineSelector
from hedgespec.simulator import Replayer
from tests.helpers.online import online_choice
from tests.helpers.synthetic import write_trace

LENGTHS = [0, 1, 3, 5, 3]  # the last is another drafter's


def played(text: str, emitted: list[int]) -> list[int]:
    """The arms that run if their rounds emit so many tokens, at most what the arm allows."""
    configured = parse_selector(text)
    selector, params = configured.selector, configured.parameter_array(LENGTHS)
    state, weights = np.full(selector.state_size(5), np.nan), np.zeros(5)
    selector.reset(state, params, 5, 5)
    arms = []
    for count in emitted:
        selector.play(state, params, 0, weights)
        assert weights.sum() == 1
        arms.append(int(weights.argmax()))
        outcome = np.zeros(OUTCOMES)
        outcome[EMITTED] = min(count, LENGTHS[arms[-1]] + 1)
        selector.learn(state, params, 0, 0, arms[-1], 1.0, outcome)
    return arms


def cutoff(emitted: list[int], window: int, threshold: float, pause: int, arm: int) -> list[int]:
    arms, left, last = [], 0, deque(maxlen=window)
    for count in emitted:
        if left:
            arms.append(0)
            left -= 1
            continue
        arms.append(arm)
        last.append(min(count - 1, LENGTHS[arm]) / LENGTHS[arm])
        if len(last) == window and np.mean(last) < threshold:
            left = pause
            last.clear()
    return arms


def adaptive(emitted: list[int], rungs: list[int]) -> list[int]:
    """SGLang's rule with its defaults."""
    at = len(rungs) // 2
    mean, arms = LENGTHS[rungs[at]] - 1, []
    for number, count in enumerate(emitted, 1):
        arms.append(rungs[at])
        length = LENGTHS[rungs[at]]
        if length:
            mean += 0.2 * (min(count - 1, length) - mean)
        if number <= 10 or (number - 10) % 5:
            continue
        if not length:
            at = min(at + 1, len(rungs) - 1)
            continue
        before = at
        while at and mean <= (LENGTHS[rungs[at - 1]] or 1) - 0.5 - 0.25:
            at -= 1
        if at == before:
            while at + 1 < len(rungs) and mean > LENGTHS[rungs[at]] - 0.5:
                at += 1
    return arms


def emitted_tokens(seed: int) -> list[int]:
    """Stretches in which drafts fare well, and others."""
    rng = np.random.default_rng(seed)
    return [int(count) for rate in rng.uniform(0, 1, 12) for count in 1 + rng.binomial(5, rate, 25)]


@pytest.mark.parametrize("seed", range(4))
def test_the_cutoff_switches_drafting_off_and_on_again(seed):
    emitted = emitted_tokens(seed)
    found = played("acceptance-cutoff:arm=3,window=7,threshold=0.45,pause=11", emitted)
    assert found == cutoff(emitted, 7, 0.45, 11, 3)
    assert set(found) == {0, 3}
    assert set(played("acceptance-cutoff", emitted)) <= {0, 1}, "arm 0 drafts nothing; 1 can"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("text", "rungs"),
    [
        ("adaptive-length", [0, 1, 2, 3]),
        ("adaptive-length:first=1", [1, 2, 3]),
        ("adaptive-length:first=4", [4]),
    ],
)
def test_the_length_follows_what_is_accepted(seed, text, rungs):
    emitted = emitted_tokens(seed)
    found = played(text, emitted)
    assert found == adaptive(emitted, rungs)
    assert len(rungs) == 1 or len(set(found)) > 1


def test_rewards_are_means_over_the_arms_own_draft(tmp_path):
    """A perfect drafter's is 1 at any length; it was 1 / K before."""
    trace = write_trace(tmp_path / "trace", closeness=(1.0, 0.5, 0.1), lengths=(120,))
    arms = ("none", "drafter-0*1", "drafter-1*4")
    replayer = Replayer(trace, arms=arms)
    for reward in (0, 2):
        text = f"metasd-ucb:beta=0,reward={reward}"
        run = replayer.run(text, 0)
        assert run.usage[0, 1] >= run.visits.sum() - 3, "each other arm is tried once"
        online = OnlineSelector(parse_selector(text), replayer.arms, 4, seed=0)
        gamma, _ = replayer.statistics(0, 120)
        for start, stop in pairwise([*np.flatnonzero(run.choice >= 0), 120]):
            arm = online.choose(int(start))
            assert arm == run.choice[start]
            online.finished_round(int(stop - start), gamma[np.arange(start, stop), :, arm])


def test_the_delay_is_that_of_the_loss():
    for window, delay in ((1, 0), (5, 4)):
        assert parse_selector("adahedged").parameter_array(window=window)[0] == delay
        assert parse_selector("adahedged:delay=2").parameter_array(window=window)[0] == 2
    assert parse_selector("adahedged").parameter_array()[0] == -1
    assert parse_selector("adahedged").label == "adahedged"


@pytest.mark.slow
def test_baselines_decide_live_as_in_a_replay(tmp_path):
    trace = write_trace(tmp_path / "trace", lengths=(60, 90))
    for text in ("acceptance-cutoff:window=3,threshold=0.9,pause=4", "adaptive-length"):
        run = Replayer(trace, 4).run(text, 0)
        online = OnlineSelector(parse_selector(text), 3, 4)
        np.testing.assert_array_equal(online_choice(trace, run.choice, online), run.choice)
