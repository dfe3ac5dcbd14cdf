"""Template of the replay loop for learners that see only the rounds of the drafter they chose.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import numba
import numpy as np

from hedgespec.selectors.contract import draw
from hedgespec.selectors.ucbspec import SELECTOR
from hedgespec.simulator.uniforms import SELECTION, query_key, uniform
from hedgespec.simulator.verification import emitted_tokens

reset, play, learn = SELECTOR.reset, SELECTOR.play, SELECTOR.learn


@numba.njit(cache=True, nogil=True, error_model="numpy")
def replay(
    first, last, offsets, acceptance, loss, draft_length, seed, params, state_size, choice
):
    """Replay queries first..last-1; arguments as in replay_full, `loss` only gives N."""
    arms = loss.shape[1]
    state = np.empty(state_size)
    weights = np.empty(arms)
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        key = query_key(seed, query)
        reset(state, params, arms, draft_length)
        start = begin
        while start < end:
            play(state, params, weights)
            arm = draw(weights, uniform(key, start - begin, SELECTION))
            choice[start] = arm
            emitted = emitted_tokens(acceptance, arm, begin, start, end, draft_length, key)
            learn(state, params, start - begin, arm, weights[arm], emitted)
            start += emitted
