"""Template of the replay loop for learners with full-information feedback.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import math
from typing import Any

import numba
import numpy as np

from hedgespec.selectors.contract import draw
from hedgespec.selectors.hedge import SELECTOR
from hedgespec.selectors.losses import cut_length_loss
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform
from hedgespec.simulator.learning import (
    ACTUAL,
    BY_ROUND,
    CARRY,
    COMPLETE,
    COPIES,
    CUT,
    DELAY,
    DRAFT_LENGTH,
    EVERY,
    WINDOW,
)
from hedgespec.simulator.verification import emitted_tokens

# False in the copies for `queued` without modifiers, which then have no trace of the rest.
GENERAL = True
USES_PLAY, DRAWS = SELECTOR.uses_play, SELECTOR.draws


def _inlined(function: Any) -> Any:
    """A selector's function without the call, which hands over the shapes of all its arrays."""
    return numba.njit(nogil=True, error_model="numpy", forceinline=True)(function.py_func)


reset, play, learn = SELECTOR.reset, _inlined(SELECTOR.play), _inlined(SELECTOR.learn)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def replay(
    first, last, order, offsets, acceptance, loss, survive, end_of, settings, seed, params,
    state_size, choice
):
    """Replay the queries order[first..last-1]; write the decisions to `choice`.

    `choice[t]`, -1 before, becomes the drafter of the round that starts at token t. `acceptance`
    (T, D, N) and `loss` (T, N) are per token. `settings` are those of `learning.py`: a position's
    loss is learned, in order, once its WINDOW positions are emitted (COMPLETE: at the end of its
    round), DELAY rounds later, from every EVERY-th round, BY_ROUND only if a round started there,
    by copy number position mod COPIES. CUT instead sums `survive` and `end_of` (T, D, N) over what
    is verified at the end of the round. ACTUAL counts regret against the play in force then.
    """
    arms = loss.shape[1]
    draft_length, window = settings[DRAFT_LENGTH], settings[WINDOW]
    copies, delay, every = 1, 0, 1
    by_round, actual, complete, cut = False, False, False, False
    if GENERAL:
        copies, delay, every = settings[COPIES], settings[DELAY], settings[EVERY]
        by_round, actual = settings[BY_ROUND] == 1, settings[ACTUAL] == 1
        complete, cut = settings[COMPLETE] == 1, settings[CUT] == 1
    states = np.empty((copies, state_size))
    weights, partial = np.empty(arms), np.empty(arms)
    # A loss waits for at most `window` + `delay` rounds; so long are starts and plays kept.
    kept = window + delay + 2
    starts = np.empty(kept, dtype=np.int64)
    plays = np.empty((kept, arms))
    # Views of rows are counted references, which a round would pay for: none where not needed.
    single = states[0]
    for place in range(first, last):
        query = order[place]
        begin, end = offsets[query], offsets[query + 1]
        key = query_key(seed, query)
        if settings[CARRY] == 0 or place == first:
            for copy in range(copies):
                reset(states[copy], params, arms, draft_length)
        start, fed, rounds, fed_round = begin, begin, 0, -1
        current = False  # whether `weights` are what the learner would play now
        while start < end:
            known = start  # where the evaluated text ends
            if GENERAL and delay > 0:
                starts[rounds % kept] = start
                known = begin if rounds < delay else starts[(rounds - delay) % kept]
            learning = fed < (known if complete or cut else known - window + 1)
            position = fed if learning else start
            if GENERAL and learning:
                begun = choice[fed] >= 0
                if begun:
                    fed_round += 1
                if (by_round and not begun) or fed_round % every != 0 or (
                    complete and math.isnan(loss[fed, 0])
                ):
                    fed += 1
                    continue
            state = single
            if GENERAL:
                state = states[(position - begin) % copies]
            if not current and (not learning or (USES_PLAY and not actual)):
                own_key = decision_key(key, position - begin) if DRAWS else np.int64(0)
                play(state, params, own_key, weights)
                current = copies == 1
            if learning:
                now = loss[fed]
                if GENERAL and cut:
                    now = partial
                    cut_length_loss(survive, end_of, fed, min(draft_length, start - fed),
                                    draft_length, partial)
                if GENERAL and actual:
                    learn(state, params, fed - begin, plays[fed_round % kept], now)
                else:
                    learn(state, params, fed - begin, weights, now)
                current = False
                fed += 1
                continue
            if GENERAL and actual:  # in a loop: assigning arrays to rows takes seconds to compile
                for arm in range(arms):
                    plays[rounds % kept, arm] = weights[arm]
            if DRAWS:  # the next decision is another draw
                current = False
            arm = draw(weights, uniform(key, start - begin, SELECTION))
            choice[start] = arm
            start += emitted_tokens(acceptance, arm, begin, start, end, draft_length, key)
            rounds += 1
