"""Tsallis-INF (Zimmert & Seldin 2021), power 1/2, importance-weighted losses.

w_i = 4 / (eta_t (L_i - x))^2 with x such that they sum to 1, eta_t = 2 / sqrt(t), t = this round's
number; after a round of drafter I that emitted Y tokens, L_I += l / w_I, l = (K + 1 - Y) / K.
"""

import math

from hedgespec.selectors.contract import CHOSEN, Selector, compiled
from hedgespec.selectors.estimates import LOSS, ROUNDS, learn_weighted, reset, state_size
from hedgespec.selectors.mixing import smallest

_NEWTON_STEPS = 50
_TOLERANCE = 1e-15


@compiled
def tsallis_weights(losses, eta, weights):
    """Solve for x and write the weights.

    With z = eta (min L - x) / 2 they are 1 / (z + eta (L_i - min L) / 2)^2, and z lies in
    [1, sqrt N]. Their sum falls and is convex in z, so Newton from z = 1 (x = min L - 2 / eta, the
    right end of its bracket) is monotone. From the other end it may step over the pole.
    """
    least = smallest(losses)
    z = 1.0
    for _ in range(_NEWTON_STEPS):
        total = 0.0
        slope = 0.0
        for arm in range(losses.shape[0]):
            inverse = 1.0 / (z + 0.5 * eta * (losses[arm] - least))
            weights[arm] = inverse * inverse
            total += weights[arm]
            slope += 2.0 * weights[arm] * inverse
        step = (total - 1.0) / slope
        if step <= _TOLERANCE * z:
            break
        z += step
    for arm in range(losses.shape[0]):
        weights[arm] /= total


@compiled
def play(state, params, key, weights):
    """The weights of this round's eta."""
    tsallis_weights(state[LOSS:], 2.0 / math.sqrt(state[ROUNDS] + 1.0), weights)


SELECTOR = Selector(
    name="tsallis-inf",
    feedback=CHOSEN,
    source="Zimmert & Seldin 2021",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn_weighted,
)
