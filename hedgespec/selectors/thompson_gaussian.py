"""Thompson sampling with Gaussians (Agrawal & Goyal 2013) on y = (emitted tokens - 1) / K.

argmax_i of draws from N(S_i / (n_i + 1), 1 / (n_i + 1)), S_i the sum of y over n_i own rounds: the
posterior under the prior N(0, 1) and unit noise.
"""

import math

from hedgespec.selectors.contract import CHOSEN, Selector, compiled
from hedgespec.selectors.means import (
    ARMS,
    LENGTH,
    all_on_highest,
    count_of,
    learn_accepted,
    reset,
    state_size,
)
from hedgespec.selectors.variates import normal


@compiled
def play(state, params, key, weights):
    """All weight on the highest draw; drafter i takes the numbers 2i and 2i + 1."""
    for arm in range(weights.shape[0]):
        shrunk = count_of(state, arm) + 1.0
        mean = state[ARMS + 2 * arm + 1] / state[LENGTH] / shrunk
        weights[arm] = mean + normal(key, 2 * arm) / math.sqrt(shrunk)
    all_on_highest(weights)


SELECTOR = Selector(
    name="thompson-gaussian",
    feedback=CHOSEN,
    source="Agrawal & Goyal 2013",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn_accepted,
    draws=True,
)
