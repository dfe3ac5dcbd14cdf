"""Sequential halving (Karnin, Koren & Somekh 2013): explore for a budget of rounds, then commit.

ceil(log2 N) phases. In each, every drafter that is left runs max(1, floor(B / (n ceil(log2 N))))
rounds, n being how many are left; the ceil(n / 2) with the most emitted tokens in this phase stay.
The last one runs for good. Ties go to the lowest index. With a budget under n ceil(log2 N) the
one round per drafter and phase that is always run takes more than the budget.
"""

import math

from hedgespec.selectors.contract import CHOSEN, EMITTED, Parameter, Selector, compiled

# Layout: [drafters left, rounds of the phase, then per drafter: whether left, the phase's tokens]
_LEFT, _ROUNDS, _ARMS = 0, 1, 2


@compiled
def reset(state, params, arms, draft_length):
    """All are left."""
    state[:] = 0.0
    state[_LEFT] = arms
    for arm in range(arms):
        state[_ARMS + 2 * arm] = 1.0


@compiled
def _rounds_each(arms, left, budget):
    """Rounds of each remaining drafter in a phase."""
    phases = 0
    while 1 << phases < arms:
        phases += 1
    return max(1.0, math.floor(budget / (left * phases)))


@compiled
def play(state, params, key, weights):
    """The remaining drafters in turn."""
    turn = state[_ROUNDS] % state[_LEFT]
    for arm in range(weights.shape[0]):
        weights[arm] = 0.0
        if state[_ARMS + 2 * arm] == 1.0:
            if turn == 0.0:
                weights[arm] = 1.0
            turn -= 1.0


@compiled
def _drop_worst(state, arms):
    """Take out the drafter with the fewest tokens in this phase; of several the last."""
    worst = -1
    fewest = math.inf
    for arm in range(arms):
        tokens = state[_ARMS + 2 * arm + 1]
        if state[_ARMS + 2 * arm] == 1.0 and tokens <= fewest:
            worst = arm
            fewest = tokens
    state[_ARMS + 2 * worst] = 0.0
    state[_LEFT] -= 1.0


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Count the tokens; halve at the end of a phase."""
    left = state[_LEFT]
    if left == 1.0:
        return
    arms = (state.shape[0] - _ARMS) // 2
    state[_ROUNDS] += 1.0
    state[_ARMS + 2 * arm + 1] += outcome[EMITTED]
    if state[_ROUNDS] < left * _rounds_each(arms, left, params[0]):
        return
    for _ in range(int(left) // 2):
        _drop_worst(state, arms)
    state[_ROUNDS] = 0.0
    for other in range(arms):
        state[_ARMS + 2 * other + 1] = 0.0


SELECTOR = Selector(
    name="sequential-halving",
    feedback=CHOSEN,
    source="Karnin, Koren & Somekh 2013",
    state_size=lambda arms: 2 + 2 * arms,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(Parameter("budget", 64.0, "rounds to explore in", low=1.0, high=1e9, whole=True),),
)
