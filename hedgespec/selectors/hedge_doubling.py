"""Hedge with the doubling trick (Cesa-Bianchi & Lugosi 2006, section 2.3).

Epoch m = 0, 1, 2, ... has 2^m losses. It begins with L = 0 and plays w_i proportional to
exp(-eta L_i), eta = sqrt(8 ln N / 2^m). Regret at most sqrt2/(sqrt2 - 1) sqrt(T ln N / 2); every
restart forgets what was learned, so anytime Hedge is the better choice of the two.
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import softmin

_LENGTH, _SEEN, _LOSS = 0, 1, 2  # layout: [2^m, losses seen in the epoch, L_1, ..., L_N]


@compiled
def reset(state, params, arms, draft_length):
    """The first epoch has one loss."""
    state[:] = 0.0
    state[_LENGTH] = 1.0


@compiled
def play(state, params, key, weights):
    """Softmin of the epoch's losses."""
    eta = math.sqrt(8.0 * math.log(weights.shape[0]) / state[_LENGTH])
    softmin(state[_LOSS:], eta, weights)


@compiled
def learn(state, params, position, played, loss):
    """L += loss; a full epoch makes room for one of twice its length."""
    state[_SEEN] += 1.0
    for arm in range(loss.shape[0]):
        state[_LOSS + arm] += loss[arm]
    if state[_SEEN] == state[_LENGTH]:
        state[_LENGTH] *= 2.0
        state[_SEEN:] = 0.0


SELECTOR = Selector(
    name="hedge-doubling",
    feedback=FULL,
    source="Cesa-Bianchi & Lugosi 2006, section 2.3",
    state_size=lambda arms: arms + 2,
    reset=reset,
    play=play,
    learn=learn,
)
