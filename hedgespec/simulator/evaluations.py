"""Where a replay's drafters are evaluated: the schedule is asked as live decoding asks it."""

import numpy as np

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback import (
    MOST_WAITING,
    NO_END,
    needed,
    next_due,
    reading,
)
from hedgespec.selectors.uniforms import query_key


@compiled
def mark_evaluated(first, last, offsets, numbers, choice, schedule, seed, evaluated):
    """Set evaluated[t] (T) to 1 where all drafters are evaluated before the round from t.

    `choice` (T) is that of the replay with `seed`; queries first..last-1.
    """
    for query in range(first, last):
        begin, key = offsets[query], query_key(seed, numbers[query])
        starts = np.empty(offsets[query + 1] - begin, dtype=np.int64)
        # No literals: the schedule would be compiled for them, and again for what follows.
        rounds = fed = known = np.int64(0)
        fed_round, no_end = np.int64(-1), np.int64(NO_END)
        for start in range(len(starts)):
            if choice[begin + start] < 0:
                continue
            waits = start - known >= MOST_WAITING
            if waits or needed(schedule, key, starts, rounds, start, fed, fed_round, known):
                evaluated[begin + start] = 1
                known = np.int64(start)
            due = 0
            while due >= 0:
                due, fed, fed_round = next_due(
                    schedule, key, starts, rounds, start, no_end, fed, fed_round
                )
            starts[rounds] = start
            rounds += 1


@compiled
def reading_seconds(
    first, last, offsets, choice, sets, arm_seconds, evaluation, catching_up, alone
):
    """Write to `evaluation` (T) what evaluating `sets` (T, N) adds to the rounds of `choice` (T),
    and to `catching_up` (T) what it adds that their drafters have more to read; see `reading`.

    What of both each drafter reads alone is added to `alone` (Q, N). Of queries first..last-1.
    """
    seen = np.empty(sets.shape[1] + 1, dtype=np.int64)
    for query in range(first, last):
        begin = offsets[query]
        seen[:] = 0
        for start in range(begin, offsets[query + 1]):
            if choice[start] >= 0:
                evaluation[start], catching_up[start] = reading(
                    seen, sets[start], choice[start], start - begin, arm_seconds, alone[query]
                )
