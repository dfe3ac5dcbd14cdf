"""Thompson sampling with Beta posteriors (Agrawal & Goyal 2012) on y = (emitted tokens - 1) / K.

argmax_i of draws from Beta(1 + S_i, 1 + n_i - S_i). A reward y between 0 and 1 is replaced by a
coin that is 1 with probability y; S_i counts those of drafter i over its n_i rounds.
"""

from hedgespec.selectors.contract import CHOSEN, EMITTED, Selector, compiled
from hedgespec.selectors.means import (
    ARMS,
    LENGTH,
    add,
    all_on_highest,
    count_of,
    reset,
    state_size,
)
from hedgespec.selectors.uniforms import uniform
from hedgespec.selectors.variates import gamma

_BLOCK = 1 << 20  # the coin has number 0; each gamma draw a block of numbers of its own after it


@compiled
def beta(key, number, a, b):
    """Beta(a, b), both >= 1, as a ratio of gamma draws from the blocks at `number` and after."""
    one = gamma(key, number, a)
    return one / (one + gamma(key, number + _BLOCK, b))


@compiled
def play(state, params, key, weights):
    """All weight on the highest draw."""
    for arm in range(weights.shape[0]):
        ones = state[ARMS + 2 * arm + 1]
        zeros = count_of(state, arm) - ones
        weights[arm] = beta(key, 1 + 2 * arm * _BLOCK, 1.0 + ones, 1.0 + zeros)
    all_on_highest(weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Toss the coin and count it."""
    coin = uniform(key, 0, 0) < (outcome[EMITTED] - 1.0) / state[LENGTH]
    add(state, arm, 1.0 if coin else 0.0)


SELECTOR = Selector(
    name="thompson",
    feedback=CHOSEN,
    source="Agrawal & Goyal 2012",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn,
    draws=True,
)
