"""A contextual learner: each drafter's loss is predicted from features, and the least is taken.

Of each drafter one online ridge regression of its loss on x = (1, its mean loss so far, match
length, top probability, entropy): theta = (ridge I + sum x x')^-1 sum x loss, kept by rank-one
updates. It is LinUCB (Li et al. 2010, algorithm 1, disjoint models) without its width: all losses
are seen, so nothing needs to be explored.

State: losses seen; N predictions; u (D); and of each drafter the sum of its losses, sum x loss (D)
and the inverse (D, D).
"""

from hedgespec.selectors.contract import FEATURES, FULL, Parameter, Selector, compiled
from hedgespec.selectors.mixing import NOISE, leaders

_RIDGE = 0
_BEHIND = 1  # where the features stand in `params`
_D = 2 + FEATURES
_OWN = 1 + _D + _D * _D


@compiled
def _block(arms, arm):
    """Where what is known of a drafter stands in the state."""
    return 1 + arms + _D + arm * _OWN


@compiled
def _feature(state, params, arms, arm, place):
    """x[place] of a drafter."""
    if place == 0:
        return 1.0
    if place == 1:
        return state[_block(arms, arm)] / max(state[0], 1.0)
    return params[_BEHIND + arm * FEATURES + place - 2]


@compiled
def _apply(state, params, arms, arm):
    """u = A^-1 x of a drafter, and 1 + x'u."""
    inverse, scale = _block(arms, arm) + 1 + _D, 1.0
    for row in range(_D):
        total = 0.0
        for column in range(_D):
            total += state[inverse + row * _D + column] * _feature(state, params, arms, arm, column)
        state[1 + arms + row] = total
        scale += total * _feature(state, params, arms, arm, row)
    return scale


@compiled
def reset(state, params, arms, draft_length):
    """Nothing is known: the inverse is I / ridge."""
    state[:] = 0.0
    for arm in range(arms):
        for place in range(_D):
            state[_block(arms, arm) + 1 + _D + place * (_D + 1)] = 1.0 / params[_RIDGE]


@compiled
def play(state, params, key, weights):
    """The drafter of the least predicted loss; those that differ by rounding are tied."""
    arms = weights.shape[0]
    for arm in range(arms):
        _apply(state, params, arms, arm)
        found, moment = 0.0, _block(arms, arm) + 1
        for place in range(_D):
            found += state[1 + arms + place] * state[moment + place]
        state[1 + arm] = found
    leaders(state[1 : 1 + arms], 1e3 * NOISE * (1.0 + state[0]), weights)


@compiled
def learn(state, params, position, played, loss):
    """Sherman-Morrison: (A + x x')^-1 = A^-1 - u u' / (1 + x'u)."""
    arms = loss.shape[0]
    for arm in range(arms):
        scale, total = _apply(state, params, arms, arm), _block(arms, arm)
        moment, inverse = total + 1, total + 1 + _D
        for row in range(_D):
            state[moment + row] += _feature(state, params, arms, arm, row) * loss[arm]
            for column in range(_D):
                state[inverse + row * _D + column] -= (
                    state[1 + arms + row] * state[1 + arms + column] / scale
                )
    for arm in range(arms):  # the features hold the mean before
        state[_block(arms, arm)] += loss[arm]
    state[0] += 1.0


SELECTOR = Selector(
    name="ridge",
    feedback=FULL,
    source="Li et al. 2010 (LinUCB, algorithm 1), without exploration",
    state_size=lambda arms: 1 + arms + _D + arms * _OWN,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(Parameter("ridge", 1.0, "weight of theta = 0, in losses", low=1e-3, high=1e6),),
    uses_features=True,
)
