"""Fixed-Share (Herbster & Warmuth 1998): follows the best drafter through changes.

v_i proportional to w_i exp(-eta loss_i), then w = (1 - alpha) v + alpha / N. With alpha the share
of positions at which the best drafter changes, the regret per position to the best sequence of
drafters is at most (alpha ln N + H(alpha)) / eta + eta / 8, H the entropy of a coin in nats. The
default eta minimises it, which needs no length of the text: sqrt(8 (alpha ln N + H(alpha))).
"""

import math

from hedgespec.selectors.contract import FULL, Parameter, Selector, compiled
from hedgespec.selectors.mixing import smallest


@compiled
def reset(state, params, arms, draft_length):
    """state = w."""
    state[:] = 1.0 / arms


@compiled
def play(state, params, key, weights):
    """The state itself."""
    for arm in range(weights.shape[0]):
        weights[arm] = state[arm]


@compiled
def _rate(eta, alpha, arms):
    """eta, or the one that suits alpha."""
    if eta >= 0.0:
        return eta
    entropy = -alpha * math.log(alpha) - (1.0 - alpha) * math.log1p(-alpha)
    return math.sqrt(8.0 * (alpha * math.log(arms) + entropy))


@compiled
def learn(state, params, position, played, loss):
    """Weigh, then share. The floor alpha / N keeps the best drafter's weight above 0."""
    arms = loss.shape[0]
    alpha = params[1]
    eta = _rate(params[0], alpha, arms)
    least = smallest(loss)
    total = 0.0
    for arm in range(arms):
        state[arm] *= math.exp(-eta * (loss[arm] - least))
        total += state[arm]
    for arm in range(arms):
        state[arm] = (1.0 - alpha) * state[arm] / total + alpha / arms


SELECTOR = Selector(
    name="fixed-share",
    feedback=FULL,
    source="Herbster & Warmuth 1998",
    state_size=lambda arms: arms,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter(
            "eta", -1.0, "learning rate; -1: sqrt(8 (alpha ln N + H(alpha)))", low=0.0, high=1e9
        ),
        Parameter(
            "alpha",
            0.01,
            "share of positions at which the best drafter changes",
            low=1e-9,
            high=0.5,
        ),
    ),
)
