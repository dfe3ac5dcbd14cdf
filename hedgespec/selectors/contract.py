"""What a selector is: three compiled functions over a flat state, and a description of them.

The simulator compiles these functions into its replay loop and live decoding calls them directly,
so there is one implementation of each learner. A selector is defined in one file as

    reset(state, params, arms, draft_length)           before the first round of a query
    play(state, params, weights)                       before a round: write the N probabilities
    learn(state, params, position, played, loss)       feedback "full": losses of all N drafters
    learn(state, params, position, arm, propensity, emitted)   feedback "chosen": own round only

all decorated with `compiled`. `state` is float64 of `state_size(arms)` entries, `params` float64
with the parameters in their declared order, `weights` and `loss` float64 of N entries. `position`
is where the decision that the feedback belongs to was, or would have been, taken. `played` are the
probabilities in force there, `propensity` is the probability with which `arm` was drawn, `emitted`
the number of tokens of its round, 1..K+1. The selector never draws: the caller turns `weights` and
one uniform number into an arm (`draw`), so replays and live runs can share their randomness.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

# Disk caching of the replay kernels is the simulator's business; see simulator/kernels.py.
compiled = numba.njit(nogil=True, error_model="numpy")

FULL = "full"
CHOSEN = "chosen"
NONE = "none"


@dataclass(frozen=True)
class Parameter:
    """One number that the user may set: `name:key=value` on the command line."""

    name: str
    default: float
    help: str
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True)
class Selector:
    """A learner. `uses_play` says that `learn` reads `played` (regret-based learners do)."""

    name: str
    feedback: str
    source: str
    state_size: Callable[[int], int]
    reset: Callable[..., Any]
    play: Callable[..., Any]
    learn: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    uses_play: bool = False

    def default_parameters(self) -> dict[str, float]:
        """Parameter names and default values in their declared order."""
        return {parameter.name: parameter.default for parameter in self.parameters}


@compiled
def draw(weights, u):
    """Inverse-CDF draw: the arm of `weights` (N probabilities) that the uniform u in [0, 1) hits.

    Rounding may leave the sum below u; then it is the last arm of positive probability.
    """
    total = 0.0
    last = 0
    for arm in range(weights.shape[0]):
        if weights[arm] > 0.0:
            total += weights[arm]
            last = arm
            if u < total:
                return arm
    return last
