"""Epsilon-greedy (Sutton & Barto 2018, section 2.2) on y = (emitted tokens - 1) / K.

w = epsilon / N each, and 1 - epsilon more for the drafter with the highest mean y. A drafter that
has not run yet counts as the highest; ties go to the lowest index.
"""

from hedgespec.selectors.contract import CHOSEN, Parameter, Selector, compiled
from hedgespec.selectors.means import (
    all_on_highest,
    learn_accepted,
    mean_of,
    reset,
    state_size,
)


@compiled
def play(state, params, key, weights):
    """The mixture: the caller's draw is the only one."""
    arms = weights.shape[0]
    epsilon = params[0]
    for arm in range(arms):
        weights[arm] = mean_of(state, arm)
    all_on_highest(weights)
    for arm in range(arms):
        weights[arm] = (1.0 - epsilon) * weights[arm] + epsilon / arms


SELECTOR = Selector(
    name="epsilon-greedy",
    feedback=CHOSEN,
    source="Sutton & Barto 2018, section 2.2",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn_accepted,
    parameters=(Parameter("epsilon", 0.1, "share of uniform exploration", low=0.0, high=1.0),),
)
