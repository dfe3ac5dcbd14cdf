"""The schedule: which positions' losses reach a learner before a round.

`next_due` is asked by the replay kernels, by the exact expectations and by live decoding, so that
all of them feed a learner alike; `needed` tells live decoding how far all drafters must have been
evaluated for it. Both know every policy of the registry.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import DelayPolicy, EvaluationPolicy
from hedgespec.selectors.feedback.registry import ARRIVALS, MODIFIERS

# Put into the caller's loop by the compiler: a call would count references to `starts`.
_inlined = numba.njit(nogil=True, error_model="numpy", forceinline=True, no_cfunc_wrapper=True)
# The same of what nothing but compiled code calls: ways in from elsewhere take long to compile.
_link = numba.njit(
    nogil=True,
    error_model="numpy",
    forceinline=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
NO_END = 1 << 62  # length of a text whose end is not known yet
# Tokens that wait for evaluation at most: each keeps a distribution over the vocabulary.
MOST_WAITING = 128


class Schedule(NamedTuple):
    """A feedback setting as compiled functions take it.

    `arrival` is the arrival policy's number, `amounts` has an entry for each modifier of the
    registry, 0 for one that is not asked for; a loss takes `window` positions. `numbers` has those
    of each set policy of the registry, negative for one that is not asked for.
    """

    arrival: int
    amounts: tuple[int, ...]
    window: int
    copies: int
    cut: bool
    actual: bool
    numbers: tuple[tuple[float, float], ...]


@_inlined
def next_due(schedule, key, starts, rounds, start, length, fed, fed_round):
    """The next position to learn from before the round number `rounds` at `start`; -1 for none.

    The positions before `fed` have been passed, the last of them in the round `fed_round`, -1
    before the first. `starts` (R) holds the starts of the rounds before, `length` is the text's
    (NO_END while it is written), `key` its key for random numbers. Returns the position and the new
    `fed` and `fed_round`.
    """
    known = _known(schedule.amounts, key, starts, rounds, start)
    # Once more below: shared by a third function, the loop makes the fastest kernels slower.
    while _arrived(schedule.arrival, fed, known, schedule.window, length):
        begun = fed_round + 1 < rounds and starts[fed_round + 1] == fed
        fed_round += begun
        fed += 1
        if _evaluated(schedule.amounts, fed - 1, fed_round, begun):
            return fed - 1, fed, fed_round
    return -1, fed, fed_round


@compiled
def next_known(schedule, key, starts, rounds, start, evaluated, length, fed, fed_round):
    """`next_due` of a text on whose first `evaluated` positions only drafters were evaluated."""
    known = min(evaluated, _known(schedule.amounts, key, starts, rounds, start))
    while _arrived(schedule.arrival, fed, known, schedule.window, length):
        begun = fed_round + 1 < rounds and starts[fed_round + 1] == fed
        fed_round += begun
        fed += 1
        if _evaluated(schedule.amounts, fed - 1, fed_round, begun):
            return fed - 1, fed, fed_round
    return -1, fed, fed_round


@compiled
def needed(schedule, key, starts, rounds, start, fed, fed_round, evaluated):
    """Positions on which all drafters must have been evaluated before the round at `start`.

    `evaluated` is the number of those on which they are already; 0 says that these will do. The
    other arguments are those of `next_due`.
    """
    known = _known(schedule.amounts, key, starts, rounds, start)
    if evaluated >= known:
        return 0
    while True:
        position, fed, fed_round = next_due(
            schedule, key, starts, rounds, start, np.int64(NO_END), fed, fed_round
        )
        if position < 0:
            return 0
        if schedule.cut or position + schedule.window > evaluated:
            return known


# The chains below ask one policy after the other; numba resolves each link when it compiles.


def _arrival_chain() -> Callable[..., Any]:
    """arrived(arrival, position, known, window, length) of the policy of that number."""

    @_link
    def chain(arrival, position, known, window, length):
        return False

    for number, policy in enumerate(ARRIVALS.values()):
        chain = _arrival_link(number, policy.arrived, chain)
    return chain


def _arrival_link(
    own: int, arrived: Callable[..., Any], rest: Callable[..., Any]
) -> Callable[..., Any]:
    @_link
    def link(arrival, position, known, window, length):
        if arrival == own:
            return arrived(position, known, window, length)
        return rest(arrival, position, known, window, length)

    return link


def _delay_chain() -> Callable[..., Any]:
    """known(amounts, key, starts, rounds, start) of the delay policy that is asked for."""

    @_link
    def chain(amounts, key, starts, rounds, start):
        return start

    for number, policy in enumerate(MODIFIERS.values()):
        if isinstance(policy, DelayPolicy):
            chain = _delay_link(number, policy.known, chain)
    return chain


def _delay_link(
    own: int, known: Callable[..., Any], rest: Callable[..., Any]
) -> Callable[..., Any]:
    @_link
    def link(amounts, key, starts, rounds, start):
        if amounts[own] > 0:
            return known(amounts[own], key, starts, rounds, start)
        return rest(amounts, key, starts, rounds, start)

    return link


def _evaluation_chain() -> Callable[..., Any]:
    """evaluated(amounts, position, number, begun): whether all policies asked for say so."""

    @_link
    def chain(amounts, position, number, begun):
        return True

    for number, policy in enumerate(MODIFIERS.values()):
        if isinstance(policy, EvaluationPolicy):
            chain = _evaluation_link(number, policy.evaluated, chain)
    return chain


def _evaluation_link(
    own: int, evaluated: Callable[..., Any], rest: Callable[..., Any]
) -> Callable[..., Any]:
    @_link
    def link(amounts, position, number, begun):
        if amounts[own] > 0 and not evaluated(amounts[own], position, number, begun):
            return False
        return rest(amounts, position, number, begun)

    return link


_arrived, _known, _evaluated = _arrival_chain(), _delay_chain(), _evaluation_chain()
