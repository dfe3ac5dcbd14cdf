"""When a learner has found the best drafter of a query."""

import numpy as np

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
    rounds = np.cumsum(run.visits, dtype=np.float64)
    share = np.cumsum(run.visits * mine, dtype=np.float64)
    before = np.concatenate([[0.0], rounds])[offsets[:-1]]
    so_far = rounds - np.repeat(before, np.diff(offsets))
    earlier = np.interp(rounds - WINDOW, rounds, share, left=0.0)
    found = (so_far > WINDOW - 1e-9) & (share - earlier > WINDOW / 2 - 1e-9)
    first = np.minimum.reduceat(np.where(found, so_far, np.inf), offsets[:-1])
    return np.where(np.isinf(first), np.nan, first)
