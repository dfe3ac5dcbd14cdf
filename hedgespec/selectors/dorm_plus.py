"""DORM+ without hints (Flaspohler et al. 2021, arXiv 2106.06885): no parameter to tune.

p = [p + r]_+ with r_i = <played, loss> - loss_i and p = 0 at first; w = p / sum p, uniform while
p is 0. This is regret matching+ (Tammelin et al. 2015) with the regret of delayed plays.

The delay is in `played`: with the plays really in force at a position (feedback `actual`) this is
DORM+; with virtual plays, the default, there is no delay left and it is regret matching+. Paper
and reference code also take hints of the outstanding losses; the contract hands over complete
losses only, so the hint is 0.
"""

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import NOISE, dot


@compiled
def reset(state, params, arms, draft_length):
    """state = [losses seen, p_1, ..., p_N]."""
    state[:] = 0.0


@compiled
def play(state, params, key, weights):
    """p, normalised: a sum that may be rounding noise counts as 0."""
    arms = weights.shape[0]
    total = 0.0
    for arm in range(arms):
        total += state[1 + arm]
    if total <= NOISE * (1.0 + state[0]):
        weights[:] = 1.0 / arms
        return
    for arm in range(arms):
        weights[arm] = state[1 + arm] / total


@compiled
def learn(state, params, position, played, loss):
    """p = [p + r]_+."""
    own = dot(played, loss)
    state[0] += 1.0
    for arm in range(loss.shape[0]):
        state[1 + arm] = max(state[1 + arm] + own - loss[arm], 0.0)


SELECTOR = Selector(
    name="dorm-plus",
    feedback=FULL,
    source="Flaspohler et al. 2021, arXiv 2106.06885",
    state_size=lambda arms: arms + 1,
    reset=reset,
    play=play,
    learn=learn,
    uses_play=True,
)
