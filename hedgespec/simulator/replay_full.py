"""Template of the replay loop for learners with full-information feedback.

`kernels.py` compiles one copy per selector, with SELECTOR replaced. It is one function for speed:
`play` and `learn` stand in it once each, so that the compiler puts them into the loop. Its plain
twin is `replay` in hedgespec/reference.py.
"""

from typing import Any

import numba
import numpy as np

from hedgespec.selectors.contract import compiled, draw, show_features
from hedgespec.selectors.feedback import Feedback, Schedule, next_due
from hedgespec.selectors.functions import compiled_functions, is_distribution
from hedgespec.selectors.guard import FINE, copy_states, is_whole, new_states, overrun
from hedgespec.selectors.hedge import SELECTOR
from hedgespec.selectors.losses import length_loss
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform
from hedgespec.simulator.verification import emitted_tokens

# False in the copies for `queued` without modifiers, which then have no trace of the rest.
GENERAL = True
# True in the copies for learners of the user's own: bounds and plays are checked.
CHECKED = False
USES_PLAY, DRAWS, CONTEXTUAL = SELECTOR.uses_play, SELECTOR.draws, SELECTOR.uses_features
QUEUED = Feedback().schedule(0)


def _inlined(function: Any) -> Any:
    """A selector's function without the call, which hands over the shapes of all its arrays, and
    without the way in from C, which takes long to compile."""
    return numba.njit(nogil=True, error_model="numpy", forceinline=True, no_cfunc_wrapper=True)(
        function.py_func
    )


reset, play, learn = compiled_functions(SELECTOR, CHECKED)
if not CHECKED:
    play, learn = _inlined(play), _inlined(learn)


@compiled
def replay(first, last, task, choice):
    """Replay the queries order[first..last-1] of a `FullTask`; write the decisions to `choice`.

    `choice[t]` (T), -1 before, becomes the drafter of the round that starts at token t. Returns
    FINE, the token where a play is no distribution, or `overrun` of a query (`selectors.guard`).
    """
    # Taken out of the tuple once: each time counts references.
    loss, acceptance, survive, end_of = task.loss, task.acceptance, task.survive, task.end
    learner, schedule = task.learner, task.schedule
    params, draft_length = learner.params, learner.draft_length
    arms = loss.shape[1]
    if CONTEXTUAL:  # other threads have theirs
        params = params.copy()
    if not GENERAL:  # constants, but for the window
        schedule = Schedule(
            QUEUED.arrival, QUEUED.amounts, schedule.window, 1, False, False, QUEUED.numbers
        )
    copies = schedule.copies
    states, guard = new_states(copies, learner.state_size)
    if learner.follows:
        copy_states(learner.carried, states)
    weights, partial = np.empty(arms), np.empty(arms)
    longest = 0
    for query in range(len(task.offsets) - 1):
        longest = max(longest, task.offsets[query + 1] - task.offsets[query])
    starts = np.empty(longest, dtype=np.int64)
    plays = np.empty((longest if schedule.actual else 0, arms))
    # Views of rows are counted references, which a round would pay for: none where not needed.
    single = states[0]
    for place in range(first, last):
        query = task.order[place]
        begin, length = task.offsets[query], task.offsets[query + 1] - task.offsets[query]
        key = query_key(learner.seed, task.numbers[query])
        if not learner.carry or (place == first and not learner.follows):
            for copy in range(copies):
                reset(states[copy], params, arms, draft_length)
        # No literals: the schedule would be compiled for them, and again for what follows.
        start = rounds = fed = np.int64(0)
        fed_round = np.int64(-1)
        current = False  # whether `weights` are what the learner would play now
        while start < length:
            due, fed, fed_round = next_due(
                schedule, key, starts, rounds, start, length, fed, fed_round
            )
            position = due if due >= 0 else start
            if CONTEXTUAL:
                show_features(task.features, begin + position, params)
            state = single
            if GENERAL:
                state = states[position % copies]
            if not current and (due < 0 or (USES_PLAY and not schedule.actual)):
                own_key = decision_key(key, position) if DRAWS else np.int64(0)
                play(state, params, own_key, weights)
                if CHECKED and not is_distribution(weights):
                    return begin + position
                current = copies == 1
            if due >= 0:
                now = loss[begin + due]
                if schedule.cut:
                    now = partial
                    length_loss(
                        survive,
                        end_of,
                        begin + due,
                        min(draft_length, start - due),
                        draft_length,
                        partial,
                    )
                if schedule.actual:
                    learn(state, params, due, plays[fed_round], now)
                else:
                    learn(state, params, due, weights, now)
                current = False
                continue
            starts[rounds] = start
            if schedule.actual:  # in a loop: assigning arrays to rows takes long to compile
                for arm in range(arms):
                    plays[rounds, arm] = weights[arm]
            if DRAWS or CONTEXTUAL:  # the next decision is another draw, or knows something else
                current = False
            arm = draw(weights, uniform(key, start, SELECTION))
            choice[begin + start] = arm
            start += emitted_tokens(
                acceptance, arm, begin, begin + start, begin + length, draft_length, key
            )
            rounds += 1
        if CHECKED and not is_whole(guard):
            return overrun(begin)
    if learner.carry:
        copy_states(states, learner.carried)
    return FINE
