"""What a selector is: three compiled functions over a flat state, and a description of them.

The simulator compiles these functions into its replay loop and live decoding calls them directly,
so there is one implementation of each learner. A selector is defined in one file as

    reset(state, params, arms, draft_length)     before the first round of a query
    play(state, params, key, weights)            before a round: write the N probabilities
    learn(state, params, position, played, loss)                       feedback "full"
    learn(state, params, key, position, arm, propensity, outcome)      feedback "chosen"

all decorated with `compiled`. With feedback "full" the losses of all N drafters are learned, with
"chosen" only the outcome of the own round. `state` is float64 of `state_size(arms)` entries,
`params` float64 with the parameters in their declared order, and behind them, if the selector says
`uses_lengths`, the draft lengths of the N arms, and last, if it says `uses_features`, FEATURES
numbers of each arm, those of the position played or learned; `weights` and `loss` float64 of N
entries. `position` is where the decision that the feedback belongs to was, or would have been,
taken. `played` are the probabilities in force there, `propensity` is the probability with which
`arm` was drawn; `outcome` is float64 with the entries EMITTED, VERIFIED and LOOKAHEAD named below.
The selector does not draw the arm: the caller turns `weights` and one uniform number into it
(`draw`), so replays and live runs can share their randomness. What else a learner draws it takes
from `key`, an int64 of its own for each position, with `uniforms.uniform(key, number, 0)`; it then
says `draws=True`.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hedgespec.results.labels import CHOSEN as CHOSEN
from hedgespec.results.labels import NONE as NONE

if numba.config.DISABLE_JIT:  # set for other programs' sake: here nothing works without
    warnings.warn(
        "NUMBA_DISABLE_JIT is set, but hedgespec needs numba's compiler: it is used", stacklevel=2
    )
    numba.config.DISABLE_JIT = 0

# Disk caching of the replay kernels is the simulator's business; see simulator/kernels.py.
# Without the way in from C, which nothing takes and which is a tenth of the time of compiling.
compiled = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)

# What a learner is fed with: all losses, its own rounds (CHOSEN), nothing (NONE).
FULL = "full"

# What a round of the drafter that ran brought: tokens, 1..K+1; the mean of gamma over the drafted
# positions that were verified; and over all drafted ones, as many as the arm's draft length, on the
# recorded text: not known live. Both are 0 where nothing is drafted.
EMITTED, VERIFIED, LOOKAHEAD = 0, 1, 2
OUTCOMES = 3

# What is known of an arm at a position before anything is drafted there, each in [0, 1]: how long a
# match its drafter, a lookup, found in the text so far; the top probability and the entropy of the
# drafter's distribution one position before, the last one that it was evaluated at; 0 where there
# is none.
MATCHED, TOP, ENTROPY = 0, 1, 2
FEATURES = 3


@dataclass(frozen=True)
class Parameter:
    """One number that the user may set: `name:key=value` on the command line.

    `of_window` says that its default stands for one less than the positions that a loss takes to
    become known: the delay of the losses learned from.
    """

    name: str
    default: float
    help: str
    low: float = -np.inf
    high: float = np.inf
    whole: bool = False
    of_window: bool = False


@dataclass(frozen=True)
class Selector:
    """A learner. `uses_play` says that `learn` reads `played` (regret-based learners do), `draws`
    that it draws numbers of its own, `uses_gamma` that it reads VERIFIED or LOOKAHEAD; for which
    parameter values it is LOOKAHEAD, says `looks_ahead`. `uses_lengths` asks for the arms' draft
    lengths behind the parameters, `uses_features` for FEATURES numbers of each arm (feedback "full"
    alone)."""

    name: str
    feedback: str
    source: str
    state_size: Callable[[int], int]
    reset: Callable[..., Any]
    play: Callable[..., Any]
    learn: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    uses_play: bool = False
    draws: bool = False
    uses_gamma: bool = False
    looks_ahead: Callable[[dict[str, float]], bool] = lambda values: False
    uses_lengths: bool = False
    uses_features: bool = False

    def behind_parameters(self, lengths: Sequence[float] | np.ndarray) -> list[float]:
        """What stands behind the parameters, as far as it is asked for: the arms' draft `lengths`
        (N), and zeros in place of their features."""
        features = [0.0] * (len(lengths) * FEATURES)
        return [*(lengths if self.uses_lengths else ()), *(features if self.uses_features else ())]

    def default_parameters(self) -> dict[str, float]:
        """Parameter names and default values in their declared order."""
        return {parameter.name: parameter.default for parameter in self.parameters}


@compiled
def show_features(features, token, params):
    """Write the features of a token, of (T, F), to the end of the parameters."""
    behind = params.shape[0] - features.shape[1]
    for place in range(features.shape[1]):
        params[behind + place] = features[token, place]


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
