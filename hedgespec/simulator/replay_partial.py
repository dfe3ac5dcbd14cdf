"""Template of the replay loop where only some drafters may be evaluated at a time.

`kernels.py` compiles one copy per selector, with SELECTOR replaced. Of the loop of replay_full it
has one learner, and between the schedule and the learner the ledger of what is known of whom.
"""

import numpy as np

from hedgespec.selectors.contract import compiled, draw
from hedgespec.selectors.feedback import (
    TOLD,
    choose_drafters,
    furthest_read,
    new_ledger,
    next_known,
    note_round,
    open_ledger,
    settle,
    tell,
    unsettled,
)
from hedgespec.selectors.functions import compiled_functions, is_distribution
from hedgespec.selectors.guard import FINE, copy_states, is_whole, new_states, overrun
from hedgespec.selectors.hedge import SELECTOR
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform
from hedgespec.simulator.verification import emitted_tokens

# True in the copies for learners of the user's own: bounds and plays are checked.
CHECKED = False
USES_PLAY, DRAWS = SELECTOR.uses_play, SELECTOR.draws
reset, play, learn = compiled_functions(SELECTOR, CHECKED)


@compiled
def replay(first, last, task, sets, choice):
    """Replay the queries order[first..last-1] of a `PartialTask`, as replay_full does.

    Writes the decisions to `choice` (T), and to `sets` (T, N), False before, of whose drafters are
    evaluated before the round from a token. Returns what replay_full does.
    """
    loss, schedule, learner = task.loss, task.schedule, task.learner
    params, draft_length = learner.params, learner.draft_length
    arms, longest = loss.shape[1], 0
    states, guard = new_states(1, learner.state_size)
    if learner.follows:
        copy_states(learner.carried, states)
    state, weights, shown = states[0], np.empty(arms), np.empty(arms)
    for query in range(len(task.offsets) - 1):
        longest = max(longest, task.offsets[query + 1] - task.offsets[query])
    starts = np.empty(longest, dtype=np.int64)
    plays = np.empty((longest, arms))
    ledger = new_ledger(task.seconds, longest)
    for place in range(first, last):
        query = task.order[place]
        begin, end = task.offsets[query], task.offsets[query + 1]
        key = query_key(learner.seed, task.numbers[query])
        if not learner.carry or (place == first and not learner.follows):
            reset(state, params, arms, draft_length)
        open_ledger(ledger)
        # No literals: the schedule would be compiled for them, and again for what follows.
        start = rounds = fed = np.int64(0)
        fed_round = np.int64(-1)
        current = False  # whether `weights` are what the learner would play now
        while start < end - begin:
            choose_drafters(schedule, ledger, key, starts, rounds, start, fed, fed_round)
            for number in range(unsettled(ledger), ledger.counts[TOLD]):
                settle(ledger, number, schedule.window, loss[begin + ledger.positions[number]])
            while True:
                due, fed, fed_round = next_known(
                    schedule,
                    key,
                    starts,
                    rounds,
                    start,
                    furthest_read(ledger),
                    end - begin,
                    fed,
                    fed_round,
                )
                position = due if due >= 0 else start
                if not current and (due < 0 or (USES_PLAY and not schedule.actual)):
                    own_key = decision_key(key, position) if DRAWS else np.int64(0)
                    play(state, params, own_key, weights)
                    if CHECKED and not is_distribution(weights):
                        return begin + position
                    current = True
                if due < 0:
                    break
                tell(ledger, due, schedule.window, loss[begin + due], shown)
                learn(state, params, due, plays[fed_round] if schedule.actual else weights, shown)
                current = False
            starts[rounds] = start
            for one in range(arms):
                plays[rounds, one] = weights[one]
                sets[begin + start, one] = ledger.chosen[one]
            current = current and not DRAWS  # the next decision is another draw
            arm = draw(weights, uniform(key, start, SELECTION))
            note_round(ledger, arm, start)
            choice[begin + start] = arm
            start += emitted_tokens(
                task.acceptance, arm, begin, begin + start, end, draft_length, key
            )
            rounds += 1
        if CHECKED and not is_whole(guard):
            return overrun(begin)
    if learner.carry:
        copy_states(states, learner.carried)
    return FINE
