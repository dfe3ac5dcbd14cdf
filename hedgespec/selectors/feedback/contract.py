"""What feedback policies are: compiled functions that say when a learner gets which losses.

A feedback setting has one arrival policy and any modifiers: at most one delay policy, evaluation
policies, set policies, regret policies. Each policy stands in a file of its own and defines POLICY;
the registry names it, and `schedule.py` (of set policies `sets.py`) puts all of them into the one
function that replays and live decoding ask. Positions are counted from the start of the text,
rounds from 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# What follows a modifier's colon: a whole number, or the numbers of a set policy.
Amount = int | tuple[float, ...]


@dataclass(frozen=True)
class ArrivalPolicy:
    """When the loss of a position is there, given how far the text is known.

    `arrived(position, known, window, length) -> bool`: `known` positions of the text are evaluated,
    a loss takes `window` of them from its own on, and the whole text will have `length`. `copies`
    gives the copies of the learner that are served in turn, from the window. With `cut` the loss
    sums what is known at that time. Only a policy that is `live` can be had while decoding.
    `excludes` are the kinds of modifiers that it cannot be joined with, and `reason` says why.
    """

    name: str
    help: str
    arrived: Callable[..., Any]
    copies: Callable[[int], int] = lambda window: 1
    cut: bool = False
    live: bool = True
    excludes: tuple[type, ...] = ()
    reason: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class DelayPolicy:
    """How far the text is known when a round begins.

    `known(amount, key, starts, rounds, start) -> position` before the round number `rounds` at
    `start`; `starts` (R) holds the starts of the rounds before it, `key` is the text's key for
    random numbers (see `uniforms`). `spares` says that rounds may go without an evaluation.
    `symbol` stands for the amount in help.
    """

    name: str
    help: str
    known: Callable[..., Any]
    spares: bool = False
    symbol: str = "D"


@dataclass(frozen=True)
class EvaluationPolicy:
    """Which positions the drafters are evaluated on; of the others nothing is learned.

    `evaluated(amount, position, number, begun) -> bool` for a position in the round `number`;
    `begun` says that the round starts there. `spares` as in DelayPolicy. A policy without `symbol`
    takes no amount.
    """

    name: str
    help: str
    evaluated: Callable[..., Any]
    spares: bool = False
    symbol: str = ""


@dataclass(frozen=True)
class RegretPolicy:
    """Against what regret is counted: `actual`, if true, against the play that was in force."""

    name: str
    help: str
    actual: bool
    symbol: str = ""


@dataclass(frozen=True)
class SetPolicy:
    """Which drafters are evaluated when there is something to evaluate.

    `narrow(numbers, ledger, key, rounds)` clears those in `ledger.chosen` (N) that are not, before
    the round number `rounds`; see `Ledger` for what it may look at. `numbers` are those behind the
    colon, as many as `symbol` names, the first twice where there is but one; `low` and `high` bound
    them, those that are `whole` are counts. With `timed` it needs the seconds of rounds and
    evaluations.
    """

    name: str
    help: str
    symbol: str
    narrow: Callable[..., Any]
    low: tuple[float, ...]
    high: tuple[float, ...]
    whole: bool = False
    timed: bool = False


Modifier = DelayPolicy | EvaluationPolicy | SetPolicy | RegretPolicy
