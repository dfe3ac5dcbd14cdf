"""Squint with the improper prior (Koolen & van Erven 2015): no parameter to tune.

w_i proportional to the integral of exp(eta R_i - eta^2 V_i) over eta in (0, 1/2], with R_i the
regret to drafter i and V_i the sum of its squared instantaneous regrets. In closed form, with
s = sqrt V, the integral is

    sqrt(pi)/(2s) exp(R^2/(4V)) [erf((V - R)/(2s)) + erf(R/(2s))]

which overflows and cancels as it stands. Here its logarithm is written, by the signs of
a = -R/(2s) and b = (V - R)/(2s), with erfcx(x) = exp(x^2) erfc(x), so that neither happens.
"""

import math

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import add_regret, dot, normalise_logs

_SQRT_PI = math.sqrt(math.pi)
_SMALL = 1e-10  # below it V moves the integral by less than V / 4 of its value


@compiled
def reset(state, params, arms, draft_length):
    """state = [R_1, V_1, ..., R_N, V_N]."""
    state[:] = 0.0


@compiled
def erfcx(x):
    """exp(x^2) erfc(x) for x >= 0, to about 1e-14 of its value.

    From 10 on the asymptotic series 1/(x sqrt pi) sum_k (-1)^k (2k-1)!! / (2x^2)^k, whose terms
    fall below 1e-16 within 13.
    """
    if x < 10.0:
        return math.exp(x * x) * math.erfc(x)
    ratio = 0.5 / (x * x)
    term = 1.0
    total = 1.0
    for k in range(1, 14):
        term *= -(2 * k - 1) * ratio
        total += term
    return total / (x * _SQRT_PI)


@compiled
def log_evidence(regret, variance):
    """ln of the integral of exp(eta R - eta^2 V) over (0, 1/2]."""
    if variance < _SMALL:
        if abs(regret) < 1e-8:
            return math.log(0.5) + regret / 4.0
        return math.log(math.expm1(regret / 2.0) / regret)
    twice = 2.0 * math.sqrt(variance)
    a = -regret / twice
    b = (variance - regret) / twice
    front = math.log(_SQRT_PI / twice)
    top = (2.0 * regret - variance) / 4.0  # a^2 - b^2: the exponent at eta = 1/2
    if a > 0.0:
        return front + math.log(erfcx(a) - math.exp(top) * erfcx(b))
    if b < 0.0:
        return front + top + math.log(erfcx(-b) - math.exp(-top) * erfcx(-a))
    return front + a * a + math.log(math.erf(b) - math.erf(a))


@compiled
def play(state, params, key, weights):
    """The evidence of every drafter, normalised."""
    for arm in range(weights.shape[0]):
        weights[arm] = log_evidence(state[2 * arm], state[2 * arm + 1])
    normalise_logs(weights)


@compiled
def learn(state, params, position, played, loss):
    """r_i = <played, loss> - loss_i; R += r, V += r^2."""
    own = dot(played, loss)
    for arm in range(loss.shape[0]):
        add_regret(state, arm, own - loss[arm], own - loss[arm])


SELECTOR = Selector(
    name="squint",
    feedback=FULL,
    source="Koolen & van Erven 2015, arXiv 1502.08009",
    state_size=lambda arms: 2 * arms,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
