"""Follow the leader: uniform over the drafters with the smallest cumulated loss.

A baseline: on losses that alternate its regret grows linearly.
"""

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import NOISE, leaders


@compiled
def reset(state, params, arms, draft_length):
    """state = [losses seen, L_1, ..., L_N]."""
    state[:] = 0.0


@compiled
def play(state, params, key, weights):
    """The leaders; sums that differ by rounding are tied."""
    leaders(state[1:], NOISE * (1.0 + state[0]), weights)


@compiled
def learn(state, params, position, played, loss):
    """L += loss."""
    state[0] += 1.0
    for arm in range(loss.shape[0]):
        state[1 + arm] += loss[arm]


SELECTOR = Selector(
    name="ftl",
    feedback=FULL,
    source="Cesa-Bianchi & Lugosi 2006, section 3.2",
    state_size=lambda arms: arms + 1,
    reset=reset,
    play=play,
    learn=learn,
)
