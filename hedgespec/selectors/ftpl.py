"""Follow the perturbed leader (Hannan 1957; Kalai & Vempala 2005), fresh noise for each decision.

argmin_i L_i - Z_i / eta. With Gumbel noise Z its law is exactly Hedge's play at this eta; with
exponential noise it is Kalai and Vempala's. Noise kept over the rounds would make the decisions
depend on each other; drawn anew, the law of a decision depends on its position only.
"""

import math

from hedgespec.selectors.contract import FULL, Parameter, Selector, compiled
from hedgespec.selectors.mixing import add_losses, forget_losses
from hedgespec.selectors.uniforms import uniform

_GUMBEL = 0.0


@compiled
def _rate(eta, noise, arms, time):
    """eta, or the anytime schedule of Hedge or of exponential noise."""
    if eta >= 0.0:
        return eta
    if noise == _GUMBEL:
        return math.sqrt(8.0 * math.log(arms) / time)
    return math.sqrt((1.0 + math.log(arms)) / time)


@compiled
def play(state, params, key, weights):
    """All weight on argmax Z - eta L: the same drafter, and eta may be 0.

    With u uniform in [0, 1), -ln(1 - u) is exponential and -ln of that is Gumbel, infinite only
    for u = 0: then its drafter is taken.
    """
    noise = params[1]
    eta = _rate(params[0], noise, weights.shape[0], state[0] + 1.0)
    best = 0
    highest = -math.inf
    for arm in range(weights.shape[0]):
        weights[arm] = 0.0
        perturbation = -math.log1p(-uniform(key, arm, 0))
        if noise == _GUMBEL:
            perturbation = math.inf if perturbation == 0.0 else -math.log(perturbation)
        score = perturbation - eta * state[1 + arm]
        if score > highest:
            highest = score
            best = arm
    weights[best] = 1.0


SELECTOR = Selector(
    name="ftpl",
    feedback=FULL,
    source="Kalai & Vempala 2005",
    state_size=lambda arms: arms + 1,
    reset=forget_losses,
    play=play,
    learn=add_losses,
    parameters=(
        Parameter(
            "eta",
            -1.0,
            "learning rate; -1: anytime, sqrt(8 ln N / t) with Gumbel noise, "
            "sqrt((1 + ln N) / t) with exponential, t = losses seen + 1",
            low=0.0,
            high=1e9,
        ),
        Parameter("noise", 0.0, "0: Gumbel; 1: exponential", low=0.0, high=1.0, whole=True),
    ),
    draws=True,
)
