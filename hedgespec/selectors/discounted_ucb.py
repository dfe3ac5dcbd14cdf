"""Discounted UCB (Garivier & Moulines 2011) on y = (emitted tokens - 1) / K.

A round that is s rounds old counts gamma^s in n_i and in the mean of y. Each drafter once, then
argmax_i mean y_i + 2 sqrt(xi ln(sum_j n_j) / n_i); ties go to the lowest index. The paper takes
gamma = 1 - sqrt(changes / rounds) / 4.
"""

import math

from hedgespec.selectors.contract import CHOSEN, Parameter, Selector, compiled
from hedgespec.selectors.means import (
    ARMS,
    ROUNDS,
    all_on_highest,
    count_of,
    learn_accepted,
    reset,
    state_size,
    unit_mean,
)


@compiled
def play(state, params, key, weights):
    """All weight on the highest bound; before its first round a drafter's is infinite."""
    log_term = params[1] * math.log(max(state[ROUNDS], 1.0))
    for arm in range(weights.shape[0]):
        weights[arm] = unit_mean(state, arm)
        if weights[arm] < math.inf:
            weights[arm] += 2.0 * math.sqrt(log_term / count_of(state, arm))
    all_on_highest(weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Age what there is, the total included, and add Y - 1."""
    state[ROUNDS] *= params[0]
    for entry in range(ARMS, state.shape[0]):
        state[entry] *= params[0]
    learn_accepted(state, params, key, position, arm, propensity, outcome)


SELECTOR = Selector(
    name="discounted-ucb",
    feedback=CHOSEN,
    source="Garivier & Moulines 2011",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter(
            "gamma",
            0.99,
            "discount per round: about 1 / (1 - gamma) rounds are remembered",
            low=0.0,
            high=1.0,
        ),
        Parameter("xi", 0.6, "weight inside the bonus", low=0.0, high=1e6),
    ),
)
