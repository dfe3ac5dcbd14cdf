"""Which drafters are evaluated before a round: asked by replays and by live decoding alike."""

from collections.abc import Callable
from typing import Any

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import SetPolicy
from hedgespec.selectors.feedback.ledger import ALL, OWNER, furthest_read
from hedgespec.selectors.feedback.registry import MODIFIERS
from hedgespec.selectors.feedback.schedule import MOST_WAITING, needed

SETS = [policy for policy in MODIFIERS.values() if isinstance(policy, SetPolicy)]


@compiled
def choose_drafters(schedule, ledger, key, starts, rounds, start, fed, fed_round):
    """Mark in `ledger.chosen` who is evaluated before the round at `start`; whether anyone is.

    From then on they have read all text before it. The other arguments are those of `next_due`. All
    are evaluated where one would have more text to read than is kept for it.
    """
    chosen, read = ledger.chosen, ledger.read
    least = start
    for arm in range(read.shape[0]):
        least = min(least, read[arm])
    waits = start - least >= MOST_WAITING
    some = (
        waits
        or needed(schedule, key, starts, rounds, start, fed, fed_round, furthest_read(ledger)) > 0
    )
    for arm in range(chosen.shape[0]):
        chosen[arm] = some
    if some and not waits:
        _narrow(schedule.numbers, ledger, key, rounds)
    return some and _note_chosen(ledger, rounds, start) > 0


@compiled
def _note_chosen(ledger, rounds, start):
    """How many arms are chosen: all of a drafter if one is; from now on they have read the text."""
    chosen, owner, count = ledger.chosen, ledger.seconds.arms[OWNER], 0
    for arm in range(chosen.shape[0]):
        if chosen[arm]:
            chosen[owner[arm]] = True
    for arm in range(chosen.shape[0]):
        chosen[arm] = chosen[owner[arm]]
        if chosen[arm]:
            ledger.read[arm] = start
            count += 1
    if count == chosen.shape[0]:
        ledger.counts[ALL] = rounds
    return count


def _chain() -> Callable[..., Any]:
    """narrow(numbers, ledger, key, rounds) of all set policies that are asked for, in turn."""

    @compiled
    def chain(numbers, ledger, key, rounds):
        return None

    for number, policy in enumerate(SETS):
        chain = _link(number, policy.narrow, chain)
    return chain


def _link(own: int, narrow: Callable[..., Any], before: Callable[..., Any]) -> Callable[..., Any]:
    @compiled
    def link(numbers, ledger, key, rounds):
        before(numbers, ledger, key, rounds)
        if numbers[own][0] >= 0.0:
            narrow(numbers[own], ledger, key, rounds)

    return link


_narrow = _chain()
