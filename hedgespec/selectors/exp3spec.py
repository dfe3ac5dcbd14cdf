"""EXP3Spec (BanditSpec, Algorithms 5 and 9): exponential weights on importance-weighted losses.

p_t proportional to exp(-eta_t Z), eta_t = sqrt(ln N / (t N)), t = this round's number; after a
round of drafter I that emitted Y tokens, Z_I += (K + 1 - Y) / (K p_t[I]).
"""

import math

from hedgespec.selectors.contract import CHOSEN, EMITTED, Selector, compiled

_LENGTH, _ROUNDS, _LOSS = 0, 1, 2  # layout: [K, completed rounds, Z_1, ..., Z_N]


@compiled
def reset(state, params, arms, draft_length):
    """No rounds yet."""
    state[:] = 0.0
    state[_LENGTH] = draft_length


@compiled
def play(state, params, key, weights):
    """Softmin of the estimated losses; the smallest is subtracted before exp."""
    arms = weights.shape[0]
    eta = math.sqrt(math.log(arms) / ((state[_ROUNDS] + 1.0) * arms))
    least = state[_LOSS]
    for arm in range(1, arms):
        least = min(least, state[_LOSS + arm])
    total = 0.0
    for arm in range(arms):
        weight = math.exp(eta * (least - state[_LOSS + arm]))
        weights[arm] = weight
        total += weight
    scale = 1.0 / total
    for arm in range(arms):
        weights[arm] *= scale


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Importance-weighted loss of the drafter that ran."""
    length = state[_LENGTH]
    state[_ROUNDS] += 1.0
    state[_LOSS + arm] += (length + 1.0 - outcome[EMITTED]) / (length * propensity)


SELECTOR = Selector(
    name="exp3spec",
    feedback=CHOSEN,
    source="BanditSpec, Hou et al. 2025, arXiv 2505.15141, Alg. 5 and 9",
    state_size=lambda arms: 2 + arms,
    reset=reset,
    play=play,
    learn=learn,
)
