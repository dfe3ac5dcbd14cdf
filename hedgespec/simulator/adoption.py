"""When a learner has found the best drafter of a query."""

from itertools import pairwise

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
    bounds = list(pairwise(offsets))
    if run.choice is not None:  # whole numbers: sums over all queries are as exact as over each
        bounds = [(offsets[0], offsets[-1])]
    return np.concatenate([
        _until(run.visits[begin:end], mine[begin:end],
               offsets - begin if run.choice is not None else np.array([0, end - begin]))
        for begin, end in bounds])


def _until(visits: np.ndarray, mine: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    rounds = np.cumsum(np.append(0.0, visits))
    share = np.cumsum(np.append(0.0, visits * mine))
    earlier = np.interp(rounds[1:] - WINDOW, rounds, share)
    so_far = rounds[1:] - np.repeat(rounds[offsets[:-1]], np.diff(offsets))
    found = (so_far > WINDOW - 1e-9) & (share[1:] - earlier > WINDOW / 2 - 1e-9)
    first = np.minimum.reduceat(np.where(found, so_far, np.inf), offsets[:-1])
    return np.where(np.isinf(first), np.nan, first)
