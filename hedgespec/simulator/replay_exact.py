"""Template of the exact expectation, for learners whose play depends on the position only.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import math

import numba
import numpy as np

from hedgespec.selectors.hedge import SELECTOR
from hedgespec.selectors.uniforms import decision_key
from hedgespec.simulator.expectations import moments
from hedgespec.simulator.learning import COMPLETE, COPIES, DRAFT_LENGTH, WINDOW

USES_PLAY = SELECTOR.uses_play
reset, play, learn = SELECTOR.reset, SELECTOR.play, SELECTOR.learn


@numba.njit(cache=True, nogil=True, error_model="numpy")
def replay(
    first, last, offsets, acceptance, loss, settings, params, state_size, plays, visits, usage,
    variance
):
    """Exact expectations over acceptance and selection for queries first..last-1.

    Fills `plays` (T, N), what the learner plays in a round from a token, `visits` (T), the
    probability that a round starts there, `usage` (Q, N), the expected rounds of each drafter, and
    `variance` (Q) of the number of rounds. Arguments as in replay_full; feedback is `queued`,
    `bold` or `oracle` at every position with virtual plays.
    """
    arms = loss.shape[1]
    draft_length, window, copies = settings[DRAFT_LENGTH], settings[WINDOW], settings[COPIES]
    complete = settings[COMPLETE] == 1
    states = np.empty((copies, state_size))
    virtual = np.empty(arms)
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        for copy in range(copies):
            reset(states[copy], params, arms, draft_length)
        fed = begin
        for start in range(begin, end):
            bound = start if complete else start - window + 1
            while fed < bound:
                if not (complete and math.isnan(loss[fed, 0])):
                    state = states[(fed - begin) % copies]
                    if USES_PLAY:
                        play(state, params, decision_key(0, fed - begin), virtual)
                    learn(state, params, fed - begin, virtual, loss[fed])
                fed += 1
            play(states[(start - begin) % copies], params, decision_key(0, start - begin),
                 plays[start])
        variance[query] = moments(plays[begin:end], acceptance, begin, end, draft_length,
                                  visits[begin:end], usage[query])
