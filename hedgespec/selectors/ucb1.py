"""UCB1 (Auer, Cesa-Bianchi & Fischer 2002) on the reward y = (emitted tokens - 1) / K.

Each drafter once, then argmax_i mean y_i + sqrt(2 ln t / n_i) for n_i own rounds of t completed
ones; ties go to the lowest index.
"""

import math

from hedgespec.selectors import means
from hedgespec.selectors.contract import CHOSEN, Selector, compiled


@compiled
def play(state, params, key, weights):
    """All weight on the highest bound; before its first round a drafter's is infinite."""
    for arm in range(weights.shape[0]):
        weights[arm] = means.unit_mean(state, arm)
        if weights[arm] < math.inf:
            count = means.count_of(state, arm)
            weights[arm] += math.sqrt(2.0 * math.log(state[means.ROUNDS]) / count)
    means.all_on_highest(weights)


SELECTOR = Selector(
    name="ucb1",
    feedback=CHOSEN,
    source="Auer, Cesa-Bianchi & Fischer 2002",
    state_size=means.state_size,
    reset=means.reset,
    play=play,
    learn=means.learn_accepted,
)
