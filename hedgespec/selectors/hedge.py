"""Hedge, exponential weights (Freund & Schapire 1997; Cesa-Bianchi & Lugosi 2006, Thm 2.2, 2.3).

w_i proportional to exp(-eta L_i), L_i the cumulated loss. With the default eta the anytime
schedule eta_t = sqrt(8 ln N / t), t = losses seen + 1: counting losses instead of rounds keeps
the play a function of the position alone.
"""

import math

from hedgespec.selectors.contract import FULL, Parameter, Selector, compiled
from hedgespec.selectors.mixing import add_losses, forget_losses, softmin


@compiled
def play(state, params, key, weights):
    """Softmin of the cumulated losses."""
    eta = params[0]
    if eta < 0.0:
        eta = math.sqrt(8.0 * math.log(weights.shape[0]) / (state[0] + 1.0))
    softmin(state[1:], eta, weights)


SELECTOR = Selector(
    name="hedge",
    feedback=FULL,
    source="Freund & Schapire 1997; HedgeSpec, arXiv 2510.20064",
    state_size=lambda arms: arms + 1,
    reset=forget_losses,
    play=play,
    learn=add_losses,
    parameters=(
        Parameter(
            "eta",
            -1.0,
            "learning rate; -1: anytime, sqrt(8 ln N / t), t = losses seen + 1",
            low=0.0,
            high=1e9,
        ),
    ),
)
