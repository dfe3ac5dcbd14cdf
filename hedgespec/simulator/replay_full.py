"""Template of the replay loop for learners with full-information feedback.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import numba
import numpy as np

from hedgespec.selectors.contract import draw
from hedgespec.selectors.hedge import SELECTOR
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform
from hedgespec.simulator.verification import emitted_tokens

USES_PLAY = SELECTOR.uses_play
reset, play, learn = SELECTOR.reset, SELECTOR.play, SELECTOR.learn


@numba.njit(cache=True, nogil=True, error_model="numpy")
def replay(
    first, last, offsets, acceptance, loss, draft_length, seed, params, state_size, choice
):
    """Replay queries first..last-1 with `queued` feedback; write the decisions to `choice`.

    `choice[t]` becomes the drafter of the round that starts at token t; tokens where no round
    starts keep their value. `acceptance` (T, D, N) and `loss` (T, N) are per token; the loss of
    a start position is learned, in order, once its K positions are emitted.
    """
    arms = loss.shape[1]
    state = np.empty(state_size)
    weights = np.empty(arms)
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        key = query_key(seed, query)
        reset(state, params, arms, draft_length)
        start, fed, current = begin, begin, False
        while start < end:
            while fed + draft_length <= start:
                if USES_PLAY and not current:  # what the learner would play for position `fed`
                    play(state, params, decision_key(key, fed - begin), weights)
                learn(state, params, fed - begin, weights, loss[fed])
                current = False
                fed += 1
            if not current:
                play(state, params, decision_key(key, start - begin), weights)
                current = True
            arm = draw(weights, uniform(key, start - begin, SELECTION))
            choice[start] = arm
            start += emitted_tokens(acceptance, arm, begin, start, end, draft_length, key)
