"""When a learner has found the best drafter of a query."""

import numpy as np

from hedgespec.simulator.kernels import table_kernels
from hedgespec.simulator.replay import Replay

WINDOW = 10  # rounds


def rounds_until_best(run: Replay, best: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rounds until the arm `best` (Q) had half of the last WINDOW rounds, (Q); NaN where it never.

    The same count for all: a learner's weight is its expected share of the rounds, and a bandit
    that puts all its weight on one arm in each round has no other. Expectations if exact.
    """
    arms = run.choice if run.plays is None else run.plays
    assert arms is not None
    best = np.repeat(best, np.diff(offsets))
    mine = arms == best if arms.ndim == 1 else np.take_along_axis(arms, best[:, None], 1)[:, 0]
    found = np.empty(len(offsets) - 1)
    table_kernels().rounds_until_half(
        offsets, run.visits.astype(float), mine.astype(float), WINDOW, found
    )
    return found
