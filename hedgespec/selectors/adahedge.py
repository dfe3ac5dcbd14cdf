"""AdaHedge (de Rooij, van Erven, Grünwald & Koolen 2014): no parameter to tune.

w_i proportional to exp(-eta L_i), eta = ln N / Delta; while Delta is 0, uniform over the leaders.
Delta is the sum of the mixability gaps delta = h - m, h = <w, loss> being the own loss and
m = M(L + loss) - M(L) the mix loss at the eta of the play, M(L) = -ln(mean exp(-eta L)) / eta.
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import NOISE, dot, leaders, mix_loss, smallest, softmin

_SEEN, _GAP, _LOSS = 0, 1, 2  # layout: [losses seen, Delta, L_1, ..., L_N]


@compiled
def reset(state, params, arms, draft_length):
    """Nothing lost yet."""
    state[:] = 0.0


@compiled
def _rate(state, arms):
    """eta = ln N / Delta."""
    return math.log(arms) / state[_GAP] if state[_GAP] > 0.0 else math.inf


@compiled
def play(state, params, key, weights):
    """Softmin, or the leaders."""
    losses = state[_LOSS:]
    if state[_GAP] == 0.0:
        leaders(losses, NOISE * (1.0 + state[_SEEN]), weights)
    else:
        softmin(losses, _rate(state, weights.shape[0]), weights)


@compiled
def learn(state, params, position, played, loss):
    """L += loss, Delta += delta.

    Gaps are not negative; what is below NOISE is rounding, and eta would be large enough to
    decide by it. Only differences of L matter, so the smallest is kept at 0: a difference of M's
    loses no digits to a large common part.
    """
    arms = loss.shape[0]
    losses = state[_LOSS:]
    eta = _rate(state, arms)
    before = mix_loss(losses, eta)
    for arm in range(arms):
        losses[arm] += loss[arm]
    gap = dot(played, loss) - (mix_loss(losses, eta) - before)
    if gap > NOISE:
        state[_GAP] += gap
    least = smallest(losses)
    for arm in range(arms):
        losses[arm] -= least
    state[_SEEN] += 1.0


SELECTOR = Selector(
    name="adahedge",
    feedback=FULL,
    source="de Rooij, van Erven, Grünwald & Koolen 2014, arXiv 1301.0534",
    state_size=lambda arms: arms + 2,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
