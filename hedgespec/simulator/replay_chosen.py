"""Template of the replay loop for learners that see only the rounds of the drafter they chose.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import numba
import numpy as np

from hedgespec.selectors.contract import EMITTED, LOOKAHEAD, OUTCOMES, VERIFIED, draw
from hedgespec.selectors.ucbspec import SELECTOR
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform
from hedgespec.simulator.learning import CARRY, DRAFT_LENGTH
from hedgespec.simulator.verification import emitted_tokens

USES_GAMMA, DRAWS = SELECTOR.uses_gamma, SELECTOR.draws
reset, play, learn = SELECTOR.reset, SELECTOR.play, SELECTOR.learn


@numba.njit(cache=True, nogil=True, error_model="numpy")
def replay(
    first, last, order, offsets, acceptance, gamma, settings, seed, params, state_size, choice
):
    """Replay the queries order[first..last-1]; as replay_full, `gamma` (T, D, N) besides."""
    draft_length = settings[DRAFT_LENGTH]
    arms = acceptance.shape[2]
    state = np.empty(state_size)
    outcome = np.zeros(OUTCOMES)
    weights = np.empty(arms)
    for place in range(first, last):
        query = order[place]
        begin, end = offsets[query], offsets[query + 1]
        key = query_key(seed, query)
        if settings[CARRY] == 0 or place == first:
            reset(state, params, arms, draft_length)
        start = begin
        while start < end:
            own_key = decision_key(key, start - begin) if DRAWS else np.int64(0)
            play(state, params, own_key, weights)
            arm = draw(weights, uniform(key, start - begin, SELECTION))
            choice[start] = arm
            emitted = emitted_tokens(acceptance, arm, begin, start, end, draft_length, key)
            outcome[EMITTED] = emitted
            if USES_GAMMA:
                drafted = min(draft_length, end - start)
                outcome[VERIFIED] = _mean_gamma(gamma, arm, start, min(emitted, drafted))
                outcome[LOOKAHEAD] = _mean_gamma(gamma, arm, start, drafted)
            learn(state, params, own_key, start - begin, arm, weights[arm], outcome)
            start += emitted


@numba.njit(nogil=True)
def _mean_gamma(gamma, arm, start, count):
    """Mean acceptance probability over the first `count` positions of a round from `start`."""
    deepest = gamma.shape[1] - 1
    total = 0.0
    for step in range(count):
        total += gamma[start + step, min(step, deepest), arm]
    return total / count
