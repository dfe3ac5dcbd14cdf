"""A compiled loop that feeds a selector for many steps."""

import numba
import numpy as np

from hedgespec.selectors import CHOSEN, Selector


def run(selector: Selector, state: np.ndarray, params: np.ndarray, steps: int) -> None:
    """Drafter 1 is best: smallest loss, longest rounds."""
    play, learn = selector.play, selector.learn
    if selector.feedback == CHOSEN:
        @numba.njit
        def loop(state, params, weights):
            for step in range(steps):
                play(state, params, weights)
                arm = np.argmax(weights)
                learn(state, params, step, arm, weights[arm], 6 if arm == 1 else 1)
    else:
        @numba.njit
        def loop(state, params, weights):
            loss = np.array([1.0, 0.0, 0.9])
            for step in range(steps):
                play(state, params, weights)
                learn(state, params, step, weights, loss)
    loop(state, params, np.zeros(3))
