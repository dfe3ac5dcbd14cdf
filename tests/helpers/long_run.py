"""A compiled loop that feeds a selector for many steps."""

import numba
import numpy as np

from hedgespec.selectors import CHOSEN, EMITTED, OUTCOMES, Selector


def feed_for_long(selector: Selector, state: np.ndarray, params: np.ndarray, steps: int) -> None:
    """Drafter 1 is best: smallest loss, longest rounds."""
    play, learn = selector.play, selector.learn
    if selector.feedback == CHOSEN:

        @numba.njit
        def loop(state, params, weights):
            outcome = np.zeros(OUTCOMES)
            for step in range(steps):
                play(state, params, step, weights)
                arm = np.argmax(weights)
                outcome[:] = 1.0 if arm == 1 else 0.0
                outcome[EMITTED] = 6.0 if arm == 1 else 1.0
                learn(state, params, step, step, arm, weights[arm], outcome)
    else:

        @numba.njit
        def loop(state, params, weights):
            loss = np.array([1.0, 0.0, 0.9])
            for step in range(steps):
                play(state, params, step, weights)
                learn(state, params, step, weights, loss)

    loop(state, params, np.zeros(3))
