"""Uniform random choice: the reference that every learner must beat."""

from hedgespec.selectors.contract import NONE, Selector, compiled


@compiled
def reset(state, params, arms, draft_length):
    """Nothing to keep."""


@compiled
def play(state, params, key, weights):
    """1/N each."""
    weights[:] = 1.0 / weights.shape[0]


@compiled
def learn(state, params, position, played, loss):
    """Nothing to learn."""


SELECTOR = Selector(
    name="uniform",
    feedback=NONE,
    source="reference",
    state_size=lambda arms: 1,
    reset=reset,
    play=play,
    learn=learn,
)
