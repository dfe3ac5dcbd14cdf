"""A learner of your own beside the bundled ones, as a cell of a notebook would have it.

    python examples/own_learner.py

It follows the leader, but forgets: an old loss counts `keep` times as much at each new one.
"""

import numpy as np

import hedgespec
from hedgespec.selectors import FULL


@hedgespec.compiled
def reset(state, params, arms, draft_length):
    """No loss yet: `state` holds one number for each arm."""
    state[:] = 0.0


@hedgespec.compiled
def play(state, params, key, weights):
    """All weight on the arms whose faded losses are least, but for rounding."""
    least = np.min(state) + 1e-9
    for arm in range(len(weights)):
        weights[arm] = 1.0 if state[arm] <= least else 0.0
    weights /= np.sum(weights)


@hedgespec.compiled
def learn(state, params, position, played, loss):
    """Take the losses of all arms at one position of the text."""
    for arm in range(len(loss)):
        state[arm] = params[0] * state[arm] + loss[arm]


RECENT = hedgespec.Selector(
    name="recent",
    feedback=FULL,
    source="examples/own_learner.py",
    state_size=lambda arms: arms,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(hedgespec.Parameter("keep", 0.95, "weight of what was before", 0.0, 1.0),),
)

if __name__ == "__main__":
    selectors = [RECENT, hedgespec.configure(RECENT, keep=1.0), "ftl", "normalhedge", "best-fixed"]
    overview = hedgespec.simulate("spec-bench-t0.7", selectors, seeds=1).overview()
    print(overview.select("selector", "mat", "regret_per_query"))
