"""What the bandits that estimate the losses of all drafters from their own rounds share."""

from hedgespec.selectors.contract import EMITTED, compiled

LENGTH, ROUNDS, LOSS = 0, 1, 2  # layout: [K, completed rounds, estimates of L_1, ..., L_N]


def state_size(arms: int) -> int:
    """Entries of the state."""
    return LOSS + arms


@compiled
def reset(state, params, arms, draft_length):
    """No rounds yet."""
    state[:] = 0.0
    state[LENGTH] = draft_length


@compiled
def learn_weighted(state, params, key, position, arm, propensity, outcome):
    """L_I += l / p[I], l = (K + 1 - Y) / K, of the drafter I that ran and emitted Y tokens."""
    length = state[LENGTH]
    state[ROUNDS] += 1.0
    state[LOSS + arm] += (length + 1.0 - outcome[EMITTED]) / (length * propensity)
