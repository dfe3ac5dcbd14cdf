"""EXP3Spec (BanditSpec, Algorithms 5 and 9): exponential weights on importance-weighted losses.

p_t proportional to exp(-eta_t Z), eta_t = sqrt(ln N / (t N)), t = this round's number; after a
round of drafter I that emitted Y tokens, Z_I += (K + 1 - Y) / (K p_t[I]).
"""

import math

from hedgespec.selectors.contract import CHOSEN, Selector, compiled
from hedgespec.selectors.estimates import LOSS, ROUNDS, learn_weighted, reset, state_size
from hedgespec.selectors.mixing import softmin


@compiled
def play(state, params, key, weights):
    """Softmin of the estimated losses."""
    arms = weights.shape[0]
    eta = math.sqrt(math.log(arms) / ((state[ROUNDS] + 1.0) * arms))
    softmin(state[LOSS:], eta, weights)


SELECTOR = Selector(
    name="exp3spec",
    feedback=CHOSEN,
    source="BanditSpec, Hou et al. 2025, arXiv 2505.15141, Alg. 5 and 9",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn_weighted,
)
