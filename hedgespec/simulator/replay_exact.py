"""Template of the exact expectation, for learners whose play depends on the position only.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import numpy as np

from hedgespec.selectors.contract import compiled, show_features
from hedgespec.selectors.feedback import Feedback, Schedule, next_due
from hedgespec.selectors.functions import compiled_functions, is_distribution
from hedgespec.selectors.guard import FINE, is_whole, new_states, overrun
from hedgespec.selectors.hedge import SELECTOR
from hedgespec.selectors.uniforms import decision_key

# True in the copies for learners of the user's own: bounds and plays are checked.
CHECKED = False
USES_PLAY, CONTEXTUAL = SELECTOR.uses_play, SELECTOR.uses_features
QUEUED = Feedback().schedule(0)
reset, play, learn = compiled_functions(SELECTOR, CHECKED)


@compiled
def replay(first, last, task, plays):
    """Fill `plays` (T, N): what the learner plays in a round from each token of the queries
    first..last-1, of which `played_moments` makes the expectations.

    The schedule of the `ExactTask` knows no rounds: what is learned depends on the position only.
    Returns what replay_full does.
    """
    offsets, params, given = task.offsets, task.params, task.schedule
    schedule = Schedule(
        given.arrival, QUEUED.amounts, given.window, given.copies, False, False, QUEUED.numbers
    )
    arms = task.loss.shape[1]
    if CONTEXTUAL:  # other threads have theirs
        params = params.copy()
    states, guard = new_states(schedule.copies, task.state_size)
    virtual, no_rounds = np.empty(arms), np.empty(0, dtype=np.int64)
    # No literals: the schedule would be compiled for them besides.
    no_key = no_round = np.int64(0)
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        for copy in range(schedule.copies):
            reset(states[copy], params, arms, task.draft_length)
        fed, fed_round = np.int64(0), np.int64(-1)
        for start in range(end - begin):
            while True:
                due, fed, fed_round = next_due(
                    schedule, no_key, no_rounds, no_round, start, end - begin, fed, fed_round
                )
                if due < 0:
                    break
                state = states[due % schedule.copies]
                if CONTEXTUAL:
                    show_features(task.features, begin + due, params)
                if USES_PLAY:
                    play(state, params, decision_key(0, due), virtual)
                    if CHECKED and not is_distribution(virtual):
                        return begin + due
                learn(state, params, due, virtual, task.loss[begin + due])
            if CONTEXTUAL:
                show_features(task.features, begin + start, params)
            play(
                states[start % schedule.copies],
                params,
                decision_key(0, start),
                plays[begin + start],
            )
            if CHECKED and not is_distribution(plays[begin + start]):
                return begin + start
        if CHECKED and not is_whole(guard):
            return overrun(begin)
    return FINE
