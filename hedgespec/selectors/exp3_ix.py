"""EXP3-IX (Neu 2015): exponential weights with implicit exploration, anytime.

p_t proportional to exp(-eta_t Z), eta_t = sqrt(ln N / (N t)), t = this round's number; after a
round of drafter I that emitted Y tokens, Z_I += l / (p_t[I] + eta_t / 2), l = (K + 1 - Y) / K. The
estimate is a little too small, and in return never larger than 2 / eta_t.
"""

import math

from hedgespec.selectors.contract import CHOSEN, EMITTED, Selector, compiled
from hedgespec.selectors.mixing import softmin

_LENGTH, _ROUNDS, _LOSS = 0, 1, 2  # layout: [K, completed rounds, Z_1, ..., Z_N]


@compiled
def reset(state, params, arms, draft_length):
    """No rounds yet."""
    state[:] = 0.0
    state[_LENGTH] = draft_length


@compiled
def _rate(state):
    """eta of the current round."""
    arms = state.shape[0] - _LOSS
    return math.sqrt(math.log(arms) / (arms * (state[_ROUNDS] + 1.0)))


@compiled
def play(state, params, key, weights):
    """Softmin of the estimated losses."""
    softmin(state[_LOSS:], _rate(state), weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """The loss of the drafter that ran, at the rate it was played with."""
    length = state[_LENGTH]
    loss = (length + 1.0 - outcome[EMITTED]) / length
    state[_LOSS + arm] += loss / (propensity + 0.5 * _rate(state))
    state[_ROUNDS] += 1.0


SELECTOR = Selector(
    name="exp3-ix",
    feedback=CHOSEN,
    source="Neu 2015",
    state_size=lambda arms: 2 + arms,
    reset=reset,
    play=play,
    learn=learn,
)
