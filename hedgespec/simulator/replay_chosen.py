"""Template of the replay loop for learners that see only the rounds of the drafter they chose.

`kernels.py` compiles one copy per selector, with SELECTOR replaced.
"""

import numba
import numpy as np

from hedgespec.selectors.contract import EMITTED, LOOKAHEAD, OUTCOMES, VERIFIED, compiled, draw
from hedgespec.selectors.functions import compiled_functions, is_distribution
from hedgespec.selectors.guard import FINE, copy_states, is_whole, new_states, overrun
from hedgespec.selectors.ucbspec import SELECTOR
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform
from hedgespec.simulator.verification import emitted_tokens

# True in the copies for learners of the user's own: bounds and plays are checked.
CHECKED = False
USES_GAMMA, DRAWS = SELECTOR.uses_gamma, SELECTOR.draws
reset, play, learn = compiled_functions(SELECTOR, CHECKED)


@compiled
def replay(first, last, task, choice):
    """Replay the queries order[first..last-1] of a `ChosenTask`; as replay_full."""
    learner = task.learner
    draft_length, params = learner.draft_length, learner.params
    arms = task.acceptance.shape[2]
    states, guard = new_states(1, learner.state_size)
    if learner.follows:
        copy_states(learner.carried, states)
    state = states[0]
    outcome = np.zeros(OUTCOMES)
    weights = np.empty(arms)
    for place in range(first, last):
        query = task.order[place]
        begin, end = task.offsets[query], task.offsets[query + 1]
        key = query_key(learner.seed, task.numbers[query])
        if not learner.carry or (place == first and not learner.follows):
            reset(state, params, arms, draft_length)
        start = begin
        while start < end:
            own_key = decision_key(key, start - begin) if DRAWS else np.int64(0)
            play(state, params, own_key, weights)
            if CHECKED and not is_distribution(weights):
                return start
            arm = draw(weights, uniform(key, start - begin, SELECTION))
            choice[start] = arm
            emitted = emitted_tokens(task.acceptance, arm, begin, start, end, draft_length, key)
            outcome[EMITTED] = emitted
            if USES_GAMMA:
                drafted = min(task.lengths[arm], end - start)
                outcome[VERIFIED] = _mean_gamma(task.gamma, arm, start, min(emitted, drafted))
                outcome[LOOKAHEAD] = _mean_gamma(task.gamma, arm, start, drafted)
            learn(state, params, own_key, start - begin, arm, weights[arm], outcome)
            start += emitted
        if CHECKED and not is_whole(guard):
            return overrun(begin)
    if learner.carry:
        copy_states(states, learner.carried)
    return FINE


@numba.njit(nogil=True)
def _mean_gamma(gamma, arm, start, count):
    """Mean acceptance probability over the first `count` positions of a round from `start`, or 0."""
    deepest = gamma.shape[1] - 1
    total = 0.0
    for step in range(count):
        total += gamma[start + step, min(step, deepest), arm]
    return total / max(count, 1)
