"""Sliding-window UCB (Garivier & Moulines 2011) on y = (emitted tokens - 1) / K.

Only the last tau rounds count. Drafters without a round among them first, then argmax_i
mean y_i + sqrt(xi ln min(t, tau) / n_i), mean and n_i over the window, t rounds completed; ties go
to the lowest index. The paper takes tau = 2 sqrt(rounds ln(rounds) / changes).
"""

import math

from hedgespec.selectors import means
from hedgespec.selectors.contract import CHOSEN, EMITTED, Parameter, Selector, compiled
from hedgespec.selectors.means import (
    ARMS,
    ROUNDS,
    add,
    all_on_highest,
    count_of,
    unit_mean,
)

# The size of the state may not depend on the parameters, so there is always room for the longest
# window. Layout: a ring of (drafter, accepted tokens) of the last rounds, then that of means.py.
# Sums of whole numbers are exact, however often one is taken off.
LONGEST = 2000
_MEANS = 2 * LONGEST


@compiled
def reset(state, params, arms, draft_length):
    """No rounds yet. The ring is left as it is: an entry is written before it is read."""
    means.reset(state[_MEANS:], params, arms, draft_length)


@compiled
def play(state, params, key, weights):
    """All weight on the highest bound; without a round in the window it is infinite."""
    own = state[_MEANS:]
    log_term = params[1] * math.log(max(min(own[ROUNDS], math.floor(params[0])), 1.0))
    for arm in range(weights.shape[0]):
        weights[arm] = unit_mean(own, arm)
        if weights[arm] < math.inf:
            weights[arm] += math.sqrt(log_term / count_of(own, arm))
    all_on_highest(weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """The round tau rounds ago makes room for this one."""
    own = state[_MEANS:]
    window = int(params[0])
    rounds = int(own[ROUNDS])
    entry = 2 * (rounds % window)
    if rounds >= window:
        oldest = int(state[entry])
        own[ARMS + 2 * oldest] -= 1.0
        own[ARMS + 2 * oldest + 1] -= state[entry + 1]
    accepted = outcome[EMITTED] - 1.0
    state[entry] = arm
    state[entry + 1] = accepted
    add(own, arm, accepted)


SELECTOR = Selector(
    name="sliding-window-ucb",
    feedback=CHOSEN,
    source="Garivier & Moulines 2011",
    state_size=lambda arms: _MEANS + means.state_size(arms),
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter("tau", 100.0, "rounds in the window", low=1.0, high=LONGEST, whole=True),
        Parameter("xi", 0.6, "weight inside the bonus", low=0.0, high=1e6),
    ),
)
