"""NormalHedge (Chaudhuri, Freund & Hsu 2009, arXiv 0903.2851): no parameter to tune.

w_i proportional to ([R_i]_+ / c) exp([R_i]_+^2 / (2c)) with c > 0 solving
mean_i exp([R_i]_+^2 / (2c)) = e; R_i is the regret to drafter i. Uniform while no R_i is positive.
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled

_SEEN, _ROOT, _REGRET = 0, 1, 2  # layout: [losses seen, z of the last solve, R_1, ..., R_N]
_NEWTON_STEPS = 50
_TOLERANCE = 1e-13


@compiled
def reset(state, params, arms, draft_length):
    """No regret yet."""
    state[:] = 0.0


@compiled
def play(state, params, key, weights):
    """Solve for the scale and write the weights.

    With r_i = [R_i]_+ / max R and y_i = r_i^2 the equation becomes ln mean_i exp(z y_i) = 1 in
    z = (max R)^2 / (2c), whose root lies in [1, 1 + ln N]: no exponent can overflow. The left side
    is convex and increasing, so Newton from the right of the root is monotone. The previous root,
    kept in the state, is a good start; a start left of the root steps to its right first.

    The weights do not change when all R are multiplied by a number, which would turn rounding
    noise into a decision; regrets below 1e-12 per loss seen therefore count as none.
    """
    arms = weights.shape[0]
    largest = state[_REGRET]
    for arm in range(1, arms):
        largest = max(largest, state[_REGRET + arm])
    if largest <= 1e-12 * (1.0 + state[_SEEN]):
        weights[:] = 1.0 / arms
        return
    target = 1.0 + math.log(arms)
    z = state[_ROOT]
    if not 1.0 <= z <= target:
        z = target
    for _ in range(_NEWTON_STEPS):
        total = 0.0
        slope = 0.0
        for arm in range(arms):
            ratio = max(state[_REGRET + arm], 0.0) / largest
            term = math.exp(z * ratio * ratio)
            weights[arm] = ratio * term
            total += term
            slope += ratio * ratio * term
        step = (math.log(total) - target) * total / slope
        z = min(max(z - step, 1.0), target)
        if abs(step) <= _TOLERANCE * z:
            break
    state[_ROOT] = z
    norm = 0.0
    for arm in range(arms):
        norm += weights[arm]
    scale = 1.0 / norm
    for arm in range(arms):
        weights[arm] *= scale


@compiled
def learn(state, params, position, played, loss):
    """R_i += <played, loss> - loss_i."""
    own = 0.0
    for arm in range(loss.shape[0]):
        own += played[arm] * loss[arm]
    state[_SEEN] += 1.0
    for arm in range(loss.shape[0]):
        state[_REGRET + arm] += own - loss[arm]


SELECTOR = Selector(
    name="normalhedge",
    feedback=FULL,
    source="Chaudhuri, Freund & Hsu 2009, arXiv 0903.2851; HedgeSpec, arXiv 2510.20064",
    state_size=lambda arms: arms + 2,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
