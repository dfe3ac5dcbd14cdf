"""Hedge, exponential weights (Freund & Schapire 1997; Cesa-Bianchi & Lugosi 2006, Thm 2.2, 2.3).

w_i proportional to exp(-eta L_i), L_i the cumulated loss. With the default eta the anytime
schedule eta_t = sqrt(8 ln N / t), t = losses seen + 1: counting losses instead of rounds keeps
the play a function of the position alone.
"""

import math

from hedgespec.selectors.contract import FULL, Parameter, Selector, compiled


@compiled
def reset(state, params, arms, draft_length):
    """state = [losses seen, L_1, ..., L_N]."""
    state[:] = 0.0


@compiled
def play(state, params, key, weights):
    """Softmin of the cumulated losses; the smallest loss is subtracted before exp."""
    arms = weights.shape[0]
    eta = params[0]
    if eta < 0.0:
        eta = math.sqrt(8.0 * math.log(arms) / (state[0] + 1.0))
    least = state[1]
    for arm in range(1, arms):
        least = min(least, state[1 + arm])
    total = 0.0
    for arm in range(arms):
        weight = math.exp(eta * (least - state[1 + arm]))
        weights[arm] = weight
        total += weight
    scale = 1.0 / total
    for arm in range(arms):
        weights[arm] *= scale


@compiled
def learn(state, params, position, played, loss):
    """L += loss."""
    state[0] += 1.0
    for arm in range(loss.shape[0]):
        state[1 + arm] += loss[arm]


SELECTOR = Selector(
    name="hedge",
    feedback=FULL,
    source="Freund & Schapire 1997; HedgeSpec, arXiv 2510.20064",
    state_size=lambda arms: arms + 1,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter("eta", -1.0, "learning rate; -1: anytime, sqrt(8 ln N / t), t = losses seen + 1",
                  low=0.0, high=1e9),
    ),
)
