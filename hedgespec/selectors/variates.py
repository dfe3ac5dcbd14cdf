"""Normal and gamma numbers from the uniform ones, for learners that draw."""

import math

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.uniforms import uniform

_PER_TRY = 3  # uniform numbers that one try of the rejection sampler takes


@compiled
def normal(key, number):
    """Standard normal (Box & Muller 1958) from the uniforms `number` and `number` + 1."""
    radius = math.sqrt(-2.0 * math.log1p(-uniform(key, number, 0)))
    return radius * math.cos(2.0 * math.pi * uniform(key, number + 1, 0))


@compiled
def gamma(key, number, shape):
    """Gamma of this shape >= 1 and scale 1, from the uniforms at `number` and after.

    Marsaglia & Tsang 2000: with d = shape - 1/3, v = (1 + x / sqrt(9 d))^3 and x normal, d v is
    accepted if v > 0 and ln u < x^2/2 + d (1 - v + ln v). More than 95 % of the tries are, so
    a learner may leave room for 2^20 numbers and never need them.
    """
    d = shape - 1.0 / 3.0
    while True:
        x = normal(key, number)
        root = 1.0 + x / math.sqrt(9.0 * d)
        v = root * root * root
        # ln(1 - u) as u may be 0
        if v > 0.0 and (
            math.log1p(-uniform(key, number + 2, 0)) < 0.5 * x * x + d * (1.0 - v + math.log(v))
        ):
            return d * v
        number += _PER_TRY
