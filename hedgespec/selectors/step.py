"""What a selector does between two rounds, compiled for one selector, whatever its settings.

One call a round: what has become known is learned, the play is made, the drafter drawn. The order
is that of the simulator's replay loops.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hedgespec.selectors.contract import FULL, Selector, compiled, draw
from hedgespec.selectors.feedback import (
    NO_END,
    TOLD,
    Feedback,
    Ledger,
    Schedule,
    furthest_read,
    needed,
    next_due,
    next_known,
    note_round,
    settle,
    tell,
    unsettled,
)
from hedgespec.selectors.functions import compiled_functions, is_distribution
from hedgespec.selectors.guard import is_whole
from hedgespec.selectors.kernel_cache import keep_compiled, state_of_learners
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.losses import (
    advance_visits,
    by_seconds,
    length_loss,
    per_second,
    position_loss,
)
from hedgespec.selectors.uniforms import SELECTION, decision_key, uniform

# step(memory, evaluated, learning, key, start) -> drafter, or one of those below
Step = Callable[..., Any]
NO_PLAY, OVERRUN = -1, -2  # a play is no distribution; memory behind the states was written to

# Entries of `Memory.counts`: rounds chosen; positions passed by the schedule, and the round of the
# last of them; losses learned; whether `weights` are what would be played now; the position that
# the visits are of.
ROUNDS, FED, FED_ROUND, LEARNED, CURRENT, VISITED = range(6)
COUNTS = 6


class Memory(NamedTuple):
    """What a selector holds while it drives one text.

    `states` (copies, S) belong to positions in turn, `guard` lies behind them. `counts` (COUNTS,
    int64) as above. `weights` (N) is the last play; `starts` (R, int64) and `plays` (R, N) are
    those of the rounds so far; `learned` (T, int64) the positions learned from and `losses` (T, N)
    their losses. `phases` (N, K+1) and `visits` (N) are the state of loss `visit`, `ledger` is
    there if only some drafters may be evaluated at a time.
    """

    states: np.ndarray
    guard: np.ndarray
    params: np.ndarray
    counts: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    plays: np.ndarray
    learned: np.ndarray
    losses: np.ndarray
    phases: np.ndarray
    visits: np.ndarray
    ledger: Ledger | None = None


class Evaluated(NamedTuple):
    """Statistics (T, D, N) of the text's positions, as `position_loss` takes them."""

    survive: np.ndarray
    end: np.ndarray
    gamma: np.ndarray


class Learning(NamedTuple):
    """How losses reach the selector, and what they are.

    A loss is `accept_weight` times `accept` plus the rest times `length`, or `visit` where it is
    `by_visits`; in `seconds` (N) of a round of each arm, if there are any.
    """

    schedule: Schedule
    draft_length: int
    accept_weight: float
    by_visits: bool
    seconds: np.ndarray

    @classmethod
    def of(
        cls, feedback: Feedback, loss: Loss, draft_length: int, round_seconds: np.ndarray | None
    ) -> "Learning":
        """These settings as compiled functions take them."""
        seconds = round_seconds if loss.seconds and round_seconds is not None else np.empty(0)
        return cls(
            feedback.schedule(loss.window(draft_length)),
            draft_length,
            float(loss.accept_weight),
            loss.visit,
            np.array(seconds, dtype=float),
        )


@cache
def compile_step(selector: Selector, partial: bool, checked: bool = False) -> Step:
    """The step of a selector; compiled at its first call, or found on disk.

    It chooses for a round at position `start` and notes it in `memory` with its play.
    Full-information learners first learn of the positions that the schedule says are due. If only
    some drafters may be evaluated at a time (`partial`), the ledger knows which losses there are.
    With `checked` bounds, plays and the guard are checked.
    """
    play, draws = compiled_functions(selector, checked).play, selector.draws
    learn_due = _no_learning
    if selector.feedback == FULL:
        learn_due = (_partial_learning if partial else _full_learning)(selector, checked)

    @compiled
    def step(memory, evaluated, learning, key, start):
        counts, weights = memory.counts, memory.weights
        if not learn_due(memory, evaluated, learning, key, start):
            return NO_PLAY
        if not counts[CURRENT]:
            own_key = decision_key(key, start) if draws else np.int64(0)
            play(memory.states[start % memory.states.shape[0]], memory.params, own_key, weights)
        if checked and not is_distribution(weights):
            return NO_PLAY
        if checked and not is_whole(memory.guard):
            return OVERRUN
        number = counts[ROUNDS]
        memory.starts[number] = start
        for arm in range(weights.shape[0]):
            memory.plays[number, arm] = weights[arm]
        counts[ROUNDS] = number + 1
        counts[CURRENT] = memory.states.shape[0] == 1 and not draws
        arm = draw(weights, uniform(key, start, SELECTION))
        if partial:
            note_round(memory.ledger, arm, start)
        return arm

    if not checked:  # a built-in one, whose name says what it is
        kind = "partial-" if partial else ""
        keep_compiled(step, f"{kind}step-{selector.name}_{state_of_learners()}")
    return step


@cache
def compile_needed() -> Step:
    """`needed`, kept on disk for callers that are not compiled; kernels put it into their loops."""

    @compiled
    def positions_needed(schedule, key, starts, rounds, start, fed, fed_round, evaluated):
        return needed(schedule, key, starts, rounds, start, fed, fed_round, evaluated)

    keep_compiled(positions_needed, f"positions-needed_{state_of_learners()}")
    return positions_needed


@compiled
def _no_learning(memory, evaluated, learning, key, start):
    """Bandits learn when their round is finished, others never."""
    return True


def _full_learning(selector: Selector, checked: bool) -> Step:
    """Learn from the positions that are due, in order; False where a play is no distribution."""
    learn = compiled_functions(selector, checked).learn
    virtual_play = _virtual_play(selector, checked)

    @compiled
    def learn_due(memory, evaluated, learning, key, start):
        counts, schedule, length = memory.counts, learning.schedule, learning.draft_length
        fed, fed_round = counts[FED], counts[FED_ROUND]
        while True:
            position, fed, fed_round = next_due(
                schedule,
                key,
                memory.starts,
                counts[ROUNDS],
                start,
                np.int64(NO_END),
                fed,
                fed_round,
            )
            if position < 0:
                break
            state = memory.states[position % memory.states.shape[0]]
            if not virtual_play(memory, learning, state, key, position):
                return False
            found = memory.losses[counts[LEARNED]]
            if schedule.cut:
                length_loss(
                    evaluated.survive,
                    evaluated.end,
                    position,
                    min(length, start - position),
                    length,
                    found,
                )
            else:
                _find_loss(memory, evaluated, learning, position, found)
            learn(
                state,
                memory.params,
                position,
                memory.plays[fed_round] if schedule.actual else memory.weights,
                found,
            )
            _note_learned(memory, position)
        counts[FED], counts[FED_ROUND] = fed, fed_round
        return True

    return learn_due


def _virtual_play(selector: Selector, checked: bool) -> Step:
    """virtual_play(memory, learning, state, key, position): where the regret needs it, what the
    learner would have played there, in `weights`; False if that is no distribution."""
    play, draws = compiled_functions(selector, checked).play, selector.draws
    uses_play = selector.uses_play

    @compiled
    def virtual_play(memory, learning, state, key, position):
        # Not twice without need: a play may leave something in the state to start the next.
        if uses_play and not learning.schedule.actual and not memory.counts[CURRENT]:
            own_key = decision_key(key, position) if draws else np.int64(0)
            play(state, memory.params, own_key, memory.weights)
            return not checked or is_distribution(memory.weights)
        return True

    return virtual_play


@compiled
def _note_learned(memory, position):
    """Its losses are in their place; the last play is no longer what would be played now."""
    counts = memory.counts
    memory.learned[counts[LEARNED]] = position
    counts[LEARNED] += 1
    counts[CURRENT] = False


def _partial_learning(selector: Selector, checked: bool) -> Step:
    """The same where the ledger knows which losses there are."""
    learn = compiled_functions(selector, checked).learn
    virtual_play = _virtual_play(selector, checked)

    @compiled
    def learn_due(memory, evaluated, learning, key, start):
        counts, weights, ledger = memory.counts, memory.weights, memory.ledger
        schedule = learning.schedule
        found = np.empty_like(weights)
        for number in range(unsettled(ledger), ledger.counts[TOLD]):
            _find_loss(memory, evaluated, learning, ledger.positions[number], found)
            settle(ledger, number, schedule.window, found)
        fed, fed_round = counts[FED], counts[FED_ROUND]
        while True:
            position, fed, fed_round = next_known(
                schedule,
                key,
                memory.starts,
                counts[ROUNDS],
                start,
                furthest_read(ledger),
                np.int64(NO_END),
                fed,
                fed_round,
            )
            if position < 0:
                break
            if not virtual_play(memory, learning, memory.states[0], key, position):
                return False
            _find_loss(memory, evaluated, learning, position, found)
            shown = memory.losses[counts[LEARNED]]
            tell(ledger, position, schedule.window, found, shown)
            learn(
                memory.states[0],
                memory.params,
                position,
                memory.plays[fed_round] if schedule.actual else weights,
                shown,
            )
            _note_learned(memory, position)
        counts[FED], counts[FED_ROUND] = fed, fed_round
        return True

    return learn_due


@compiled
def _find_loss(memory, evaluated, learning, position, found):
    """Write the loss of a position to `found` (N)."""
    if learning.by_visits:
        # All positions between are passed, also those whose losses are not learned.
        for before in range(memory.counts[VISITED], position):
            advance_visits(evaluated.survive, evaluated.end, before, memory.phases, memory.visits)
        memory.counts[VISITED] = position
        found[:] = memory.visits
        if learning.seconds.shape[0]:
            found[:] = _by_seconds(found, learning.seconds)
        return
    position_loss(
        evaluated.survive,
        evaluated.end,
        evaluated.gamma,
        position,
        learning.accept_weight,
        learning.draft_length,
        found,
    )
    if learning.seconds.shape[0]:
        found[:] = _per_second(found, learning.seconds, learning.draft_length)


_by_seconds, _per_second = compiled(by_seconds), compiled(per_second)
