"""Drafting is switched off while too few drafted tokens are accepted.

One arm drafts. When `window` rounds of it have run since it was switched on, and of all tokens
drafted in the last `window` rounds a share below `threshold` was accepted, the arm `none` takes
over for `pause` rounds; then the arm drafts again, with an empty window. A draft counts with the
arm's draft length. Without an arm `none` (draft length 0) drafting goes on.

TensorRT-LLM's SpeculationGate is such a cut-off: it averages the accepted tokens of finished
requests and never switches on again. The window of rounds and the pause are this file's own.
"""

from hedgespec.selectors.contract import CHOSEN, EMITTED, Parameter, Selector, compiled

_WINDOW, _THRESHOLD, _PAUSE, _ARM, _LENGTHS = 0, 1, 2, 3, 4  # parameters, then the arms' lengths
_MOST = 256  # rounds in a window
# Layout: [rounds since it was switched on, rounds of the pause left, then what was accepted in each
# round of the window, in turn].
_ROUNDS, _LEFT, _ACCEPTED = 0, 1, 2


@compiled
def reset(state, params, arms, draft_length):
    """Switched on, nothing drafted yet."""
    state[:] = 0.0


@compiled
def _drafting(params, arms):
    """The arm that drafts: the one asked for, or the next that can."""
    arm = min(int(params[_ARM]), arms - 1)
    for number in range(arm, arms):
        if params[_LENGTHS + number] > 0.0:
            return number
    return arm


@compiled
def play(state, params, key, weights):
    """The arm that drafts, or in a pause the first that does not."""
    arms = weights.shape[0]
    chosen = _drafting(params, arms)
    if state[_LEFT] > 0.0:
        for arm in range(arms - 1, -1, -1):
            if params[_LENGTHS + arm] == 0.0:
                chosen = arm
    weights[:] = 0.0
    weights[chosen] = 1.0


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Count a round of the pause, or what was accepted; then judge the window."""
    if state[_LEFT] > 0.0:
        state[_LEFT] -= 1.0
        return
    window = int(params[_WINDOW])
    state[_ACCEPTED + int(state[_ROUNDS]) % window] = outcome[EMITTED] - 1.0
    state[_ROUNDS] += 1.0
    if state[_ROUNDS] < window:
        return
    accepted = state[_ACCEPTED : _ACCEPTED + window].sum()
    if accepted < params[_THRESHOLD] * window * params[_LENGTHS + arm]:
        state[_ROUNDS] = 0.0
        state[_LEFT] = params[_PAUSE]


SELECTOR = Selector(
    name="acceptance-cutoff",
    feedback=CHOSEN,
    source="after TensorRT-LLM's SpeculationGate",
    state_size=lambda arms: _ACCEPTED + _MOST,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter(
            "window", 20, "rounds whose acceptance rate is judged", low=1, high=_MOST, whole=True
        ),
        Parameter(
            "threshold", 0.2, "least share of drafted tokens to be accepted", low=0.0, high=1.0
        ),
        Parameter("pause", 50, "rounds without drafts", low=1, high=1e6, whole=True),
        Parameter("arm", 0, "number of the arm that drafts, from 0", low=0, high=2**15, whole=True),
    ),
    uses_lengths=True,
)
