"""AdaNormalHedge (Luo & Schapire 2015, arXiv 1502.05934), uniform prior: no parameter to tune.

w_i proportional to [Phi(R_i + 1, C_i + 1) - Phi(R_i - 1, C_i + 1)] / 2 with
Phi(R, C) = exp([R]_+^2 / (3C)); R_i is the regret to drafter i and C_i = sum |r_i| that of all
its instantaneous regrets. Uniform where all weights are 0, which takes R_i <= -1 for all i.
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import dot


@compiled
def reset(state, params, arms, draft_length):
    """state = [R_1, C_1, ..., R_N, C_N]."""
    state[:] = 0.0


@compiled
def _exponent(regret, scale):
    """ln Phi(R, C)."""
    positive = max(regret, 0.0)
    return positive * positive / (3.0 * scale)


@compiled
def play(state, params, key, weights):
    """The weights, all divided by the largest Phi so that none overflows.

    With a and b the exponents of the two terms their difference is -exp(a) expm1(b - a), which
    does not cancel where they are close.
    """
    arms = weights.shape[0]
    largest = 0.0
    for arm in range(arms):
        scale = state[2 * arm + 1] + 1.0
        largest = max(largest, _exponent(state[2 * arm] + 1.0, scale))
    total = 0.0
    for arm in range(arms):
        scale = state[2 * arm + 1] + 1.0
        upper = _exponent(state[2 * arm] + 1.0, scale)
        lower = _exponent(state[2 * arm] - 1.0, scale)
        weights[arm] = -math.exp(upper - largest) * math.expm1(lower - upper)
        total += weights[arm]
    if total <= 0.0:
        weights[:] = 1.0 / arms
        return
    for arm in range(arms):
        weights[arm] /= total


@compiled
def learn(state, params, position, played, loss):
    """r_i = <played, loss> - loss_i; R += r, C += |r|."""
    own = dot(played, loss)
    for arm in range(loss.shape[0]):
        state[2 * arm] += own - loss[arm]
        state[2 * arm + 1] += abs(own - loss[arm])


SELECTOR = Selector(
    name="adanormalhedge",
    feedback=FULL,
    source="Luo & Schapire 2015, arXiv 1502.05934",
    state_size=lambda arms: 2 * arms,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
