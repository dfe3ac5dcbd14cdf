"""BOA, Bernstein online aggregation, adaptive (Wintenberger 2017): no parameter to tune.

w_i proportional to eta_i exp(eta_i G_i), G_i the sum of r_i - eta_i r_i^2 over the instantaneous
regrets r_i, each with the rate before it, and eta_i = min(1/2, sqrt(ln N / sum r_i^2)).
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import add_regret, dot, normalise_logs


@compiled
def reset(state, params, arms, draft_length):
    """state = [G_1, sum r_1^2, ..., G_N, sum r_N^2]."""
    state[:] = 0.0


@compiled
def _rate(squares, arms):
    """eta_i; of a lone drafter, whose ln N is 0, any positive one."""
    gain = math.log(max(arms, 2))
    return 0.5 if squares <= 4.0 * gain else math.sqrt(gain / squares)


@compiled
def play(state, params, key, weights):
    """The weights, normalised in logarithms."""
    arms = weights.shape[0]
    for arm in range(arms):
        eta = _rate(state[2 * arm + 1], arms)
        weights[arm] = math.log(eta) + eta * state[2 * arm]
    normalise_logs(weights)


@compiled
def learn(state, params, position, played, loss):
    """r_i = <played, loss> - loss_i; G_i += r_i - eta_i r_i^2."""
    arms = loss.shape[0]
    own = dot(played, loss)
    for arm in range(arms):
        regret = own - loss[arm]
        eta = _rate(state[2 * arm + 1], arms)
        add_regret(state, arm, regret - eta * regret * regret, regret)


SELECTOR = Selector(
    name="boa",
    feedback=FULL,
    source="Wintenberger 2017, arXiv 1404.1356",
    state_size=lambda arms: 2 * arms,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
