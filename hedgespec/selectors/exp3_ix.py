"""EXP3-IX (Neu 2015): exponential weights with implicit exploration, anytime.

p_t proportional to exp(-eta_t Z), eta_t = sqrt(ln N / (N t)), t = this round's number; after a
round of drafter I that emitted Y tokens, Z_I += l / (p_t[I] + eta_t / 2), l = (K + 1 - Y) / K. The
estimate is a little too small, and in return never larger than 2 / eta_t.
"""

import math

from hedgespec.selectors.contract import CHOSEN, EMITTED, Selector, compiled
from hedgespec.selectors.estimates import LENGTH, LOSS, ROUNDS, reset, state_size
from hedgespec.selectors.mixing import softmin


@compiled
def _rate(state):
    """eta of the current round."""
    arms = state.shape[0] - LOSS
    return math.sqrt(math.log(arms) / (arms * (state[ROUNDS] + 1.0)))


@compiled
def play(state, params, key, weights):
    """Softmin of the estimated losses."""
    softmin(state[LOSS:], _rate(state), weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """The loss of the drafter that ran, at the rate it was played with."""
    length = state[LENGTH]
    loss = (length + 1.0 - outcome[EMITTED]) / length
    state[LOSS + arm] += loss / (propensity + 0.5 * _rate(state))
    state[ROUNDS] += 1.0


SELECTOR = Selector(
    name="exp3-ix",
    feedback=CHOSEN,
    source="Neu 2015",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn,
)
