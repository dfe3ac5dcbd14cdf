"""A moving average of the accepted tokens steps the draft length up and down.

The ladder are the arms from number `first` on whose draft lengths k_0 < k_1 < ... grow: one drafter
with several lengths, perhaps `none` below them. It begins in the middle, with the average m at
k - 1. After each round with a draft m = (1 - alpha) m + alpha accepted; after `warmup` rounds, in
every `interval`-th one,

down while m <= k_below - 1/2 + down, where 1/2 + down is to be passed on the way to k = 0
else up while m > k - 1/2 + up; from k = 0 one step up, to see how drafts fare by then

This is SGLang's adaptive number of speculative steps, at batch 1, with its defaults.
"""

from hedgespec.selectors.contract import CHOSEN, EMITTED, Parameter, Selector, compiled

# Parameters, then the arms' lengths.
_ALPHA, _WARMUP, _INTERVAL, _UP, _DOWN, _FIRST, _LENGTHS = 0, 1, 2, 3, 4, 5, 6
_ARM, _MEAN, _ROUNDS, _BOTTOM, _TOP = 0, 1, 2, 3, 4  # of the state


@compiled
def reset(state, params, arms, draft_length):
    """In the middle of the ladder."""
    bottom = min(int(params[_FIRST]), arms - 1)
    top = bottom
    while top + 1 < arms and params[_LENGTHS + top + 1] > params[_LENGTHS + top]:
        top += 1
    state[_BOTTOM], state[_TOP], state[_ROUNDS] = bottom, top, 0.0
    state[_ARM] = bottom + (top - bottom + 1) // 2
    state[_MEAN] = params[_LENGTHS + int(state[_ARM])] - 1.0


@compiled
def play(state, params, key, weights):
    """The arm of the present length."""
    weights[:] = 0.0
    weights[int(state[_ARM])] = 1.0


@compiled
def _step(state, params):
    """Another length, if the average says so."""
    arm, mean = int(state[_ARM]), state[_MEAN]
    if params[_LENGTHS + arm] == 0.0:
        state[_ARM] = min(arm + 1.0, state[_TOP])
        return
    while arm > state[_BOTTOM]:
        below = params[_LENGTHS + arm - 1]
        if mean > abs(below - 0.5) + params[_DOWN]:
            break
        arm -= 1
    if arm == int(state[_ARM]):
        while arm < state[_TOP] and mean > params[_LENGTHS + arm] - 0.5 + params[_UP]:
            arm += 1
    state[_ARM] = arm


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Average what was accepted."""
    if params[_LENGTHS + arm] > 0.0:
        alpha = params[_ALPHA]
        state[_MEAN] = (1.0 - alpha) * state[_MEAN] + alpha * (outcome[EMITTED] - 1.0)
    state[_ROUNDS] += 1.0
    judged = state[_ROUNDS] - params[_WARMUP]
    if judged > 0.0 and judged % params[_INTERVAL] == 0.0:
        _step(state, params)


SELECTOR = Selector(
    name="adaptive-length",
    feedback=CHOSEN,
    source="SGLang's adaptive speculative steps, strategy `ema`",
    state_size=lambda arms: 5,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter("alpha", 0.2, "weight of a round in the average", low=0.0, high=1.0),
        Parameter("warmup", 10, "rounds before the first step", low=0, high=1e6, whole=True),
        Parameter("interval", 5, "rounds from one step to the next", low=1, high=1e6, whole=True),
        Parameter("up", 0.0, "added to the threshold to step up", low=-64, high=64),
        Parameter("down", -0.25, "added to the threshold to step down", low=-64, high=64),
        Parameter(
            "first",
            0,
            "number of the arm with the shortest draft, from 0",
            low=0,
            high=2**15,
            whole=True,
        ),
    ),
    uses_lengths=True,
)
