"""Hedge as its paper has it: the plays and the bound on the regret."""

from collections.abc import Callable

import numpy as np


def hedge(losses: np.ndarray, eta: Callable[[int], float]) -> np.ndarray:
    """w_i proportional to exp(-eta_t sum_{s<t} l_s), all plays at once."""
    plays = []
    for t in range(len(losses)):
        weights = np.exp(-eta(t + 1) * (losses[:t].sum(axis=0) - losses[:t].sum(axis=0).min()))
        plays.append(weights / weights.sum())
    return np.array(plays)


def bound_hedge(arms: int, steps: int) -> float:
    return 2 * np.sqrt(steps * np.log(arms) / 2) + np.sqrt(np.log(arms) / 8)
