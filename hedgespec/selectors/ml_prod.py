"""ML-Prod, adaptive (Gaillard, Stoltz & van Erven 2014, arXiv 1402.2044): no parameter to tune.

p_i proportional to eta_i w_i with eta_i = min(1/2, sqrt(ln N / (1 + S_i))), S_i the sum of the
squared instantaneous regrets r_i. Update: w_i = (w_i (1 + eta_i r_i))^(eta'_i / eta_i), eta' being
the rate after r_i is counted; w_i = 1/N at first.
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import dot, normalise_logs


@compiled
def reset(state, params, arms, draft_length):
    """state = [ln w_1, S_1, ..., ln w_N, S_N]."""
    state[:] = 0.0
    for arm in range(arms):
        state[2 * arm] = -math.log(arms)


@compiled
def _rate(squares, arms):
    """eta_i; of a lone drafter, whose ln N is 0, any positive one."""
    return min(0.5, math.sqrt(math.log(max(arms, 2)) / (1.0 + squares)))


@compiled
def play(state, params, key, weights):
    """eta_i w_i, normalised."""
    arms = weights.shape[0]
    for arm in range(arms):
        weights[arm] = math.log(_rate(state[2 * arm + 1], arms)) + state[2 * arm]
    normalise_logs(weights)


@compiled
def learn(state, params, position, played, loss):
    """The update in logarithms; |eta r| <= 1/2, so log1p is safe."""
    arms = loss.shape[0]
    own = dot(played, loss)
    for arm in range(arms):
        regret = own - loss[arm]
        eta = _rate(state[2 * arm + 1], arms)
        state[2 * arm + 1] += regret * regret
        power = _rate(state[2 * arm + 1], arms) / eta
        state[2 * arm] = power * (state[2 * arm] + math.log1p(eta * regret))


SELECTOR = Selector(
    name="ml-prod",
    feedback=FULL,
    source="Gaillard, Stoltz & van Erven 2014, arXiv 1402.2044",
    state_size=lambda arms: 2 * arms,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
