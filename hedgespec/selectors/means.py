"""What the bandits that keep a mean reward per drafter share."""

import math

from hedgespec.selectors.contract import EMITTED, compiled

# Layout: [K, t, n_1, sum of rewards of 1, ..., n_N, sum of rewards of N], t rounds completed.
LENGTH, ROUNDS, ARMS = 0, 1, 2


def state_size(arms: int) -> int:
    """Entries of the state."""
    return ARMS + 2 * arms


@compiled
def reset(state, params, arms, draft_length):
    """No rounds yet."""
    state[:] = 0.0
    state[LENGTH] = draft_length


@compiled
def add(state, arm, reward):
    """Count a round of `arm` and its reward."""
    state[ROUNDS] += 1.0
    state[ARMS + 2 * arm] += 1.0
    state[ARMS + 2 * arm + 1] += reward


@compiled
def learn_accepted(state, params, key, position, arm, propensity, outcome):
    """Add the accepted tokens Y - 1. Whole numbers: ties stay ties, whatever the order of sums."""
    add(state, arm, outcome[EMITTED] - 1.0)


@compiled
def count_of(state, arm):
    """Rounds of `arm`."""
    return state[ARMS + 2 * arm]


@compiled
def mean_of(state, arm):
    """Mean reward of `arm`; infinite before its first round, so that each is tried once."""
    count = state[ARMS + 2 * arm]
    return state[ARMS + 2 * arm + 1] / count if count > 0.0 else math.inf


@compiled
def unit_mean(state, arm):
    """Mean of (Y - 1) / K in [0, 1], where the rewards are accepted tokens; see `mean_of`."""
    return mean_of(state, arm) / state[LENGTH]


@compiled
def all_on_highest(weights):
    """Turn scores, in place, into all weight on the highest; ties go to the lowest index."""
    best = 0
    for arm in range(1, weights.shape[0]):
        if weights[arm] > weights[best]:
            best = arm
    weights[:] = 0.0
    weights[best] = 1.0
