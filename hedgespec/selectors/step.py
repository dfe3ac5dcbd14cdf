"""What a selector does between two rounds, compiled for one selector and its settings.

One call a round: what has become known is learned, the play is made, the drafter drawn. The order
is that of the simulator's replay loops.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hedgespec.selectors.contract import FULL, Selector, compiled, draw
from hedgespec.selectors.learning import Feedback, Loss
from hedgespec.selectors.losses import cut_length_loss, per_second, position_loss
from hedgespec.selectors.uniforms import SELECTION, decision_key, uniform

# step(states, params, key, weights, plays, starts, rounds, start, current, survive, end, gamma,
#      fed, limit, loss) -> drafter
Step = Callable[..., Any]


@cache
def compile_step(
    selector: Selector, feedback: Feedback, loss: Loss, draft_length: int,
    round_seconds: tuple[float, ...] | None,
) -> Step:
    """The step of a selector; compiled at its first call.

    It chooses for a round at position `start`, the `rounds`-th, and notes it in `starts` (R) and
    its probabilities in `weights` (N) and `plays` (R, N). `states` (copies, S) belong to positions
    in turn; `current` says that `weights` are already what would be played. Full-information
    learners first learn of the positions fed..limit-1 from `survive`, `end` and `gamma` (T, D, N),
    with `loss` (N) as scratch.
    """
    play, draws = selector.play, selector.draws
    learn_known = _full_learning(selector, feedback, loss, draft_length, round_seconds) if (
        selector.feedback == FULL) else _no_learning

    @compiled
    def step(states, params, key, weights, plays, starts, rounds, start, current, survive, end,
             gamma, fed, limit, loss):
        current = learn_known(states, params, key, weights, plays, starts[:rounds], start, current,
                              survive, end, gamma, fed, limit, loss)
        if not current:
            own_key = decision_key(key, start) if draws else np.int64(0)
            play(states[start % states.shape[0]], params, own_key, weights)
        starts[rounds] = start
        for arm in range(weights.shape[0]):
            plays[rounds, arm] = weights[arm]
        return draw(weights, uniform(key, start, SELECTION))

    return step


@compiled
def _no_learning(states, params, key, weights, plays, starts, start, current, survive, end, gamma,
                 fed, limit, loss):
    """Bandits learn when their round is finished, others never."""
    return current


def _full_learning(
    selector: Selector, feedback: Feedback, loss: Loss, draft_length: int,
    round_seconds: tuple[float, ...] | None,
) -> Step:
    """Learn from the positions fed..limit-1 in order; return whether `weights` are current."""
    play, learn, draws = selector.play, selector.learn, selector.draws
    every, by_round, actual, cut = feedback.every, feedback.by_round, feedback.actual, feedback.cut
    virtual = selector.uses_play and not actual
    accept_weight, timed = loss.accept_weight, loss.seconds
    seconds = np.array(round_seconds or (1.0,))
    timed_loss = compiled(per_second)

    @compiled
    def learn_known(states, params, key, weights, plays, starts, start, current, survive, end,
                    gamma, fed, limit, loss):
        copies = states.shape[0]
        number = np.searchsorted(starts, fed) - 1
        for position in range(fed, limit):
            begun = number + 1 < starts.shape[0] and starts[number + 1] == position
            number += begun
            if (by_round and not begun) or number % every != 0:
                continue
            state = states[position % copies]
            # Not twice without need: a play may leave something in the state to start the next.
            if virtual and not current:
                own_key = decision_key(key, position) if draws else np.int64(0)
                play(state, params, own_key, weights)
            if cut:
                cut_length_loss(survive, end, position, min(draft_length, start - position),
                                draft_length, loss)
            else:
                position_loss(survive, end, gamma, position, accept_weight, draft_length, loss)
            if timed:
                loss[:] = timed_loss(loss, seconds, draft_length)
            learn(state, params, position, plays[number] if actual else weights, loss)
            current = False
        return current

    return learn_known
