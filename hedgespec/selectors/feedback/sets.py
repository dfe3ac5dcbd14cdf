"""Which drafters are evaluated before a round: asked by replays and by live decoding alike."""

from collections.abc import Callable
from typing import Any

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import SetPolicy
from hedgespec.selectors.feedback.ledger import ALL
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
    chosen[:] = start - read.min() >= MOST_WAITING
    if not chosen[0]:
        if not needed(schedule, key, starts, rounds, start, fed, fed_round, read.max()):
            return False
        chosen[:] = True
        _narrow(schedule.numbers, ledger, key, rounds)
    _with_all_arms(chosen, ledger.seconds.owner)
    for arm in range(chosen.shape[0]):
        if chosen[arm]:
            read[arm] = start
    if chosen.all():
        ledger.counts[ALL] = rounds
    return chosen.any()


@compiled
def _with_all_arms(chosen, owner):
    """An arm's drafter is evaluated for all its arms."""
    for arm in range(chosen.shape[0]):
        chosen[owner[arm]] |= chosen[arm]
    for arm in range(chosen.shape[0]):
        chosen[arm] = chosen[owner[arm]]


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
