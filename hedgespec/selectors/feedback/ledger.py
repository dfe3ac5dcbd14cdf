"""What is known of which drafter in a text, where only some of them are evaluated at a time.

A drafter that is evaluated reads all text that it has not read, in one pass, which gives its losses
at all positions passed since. So what is known of each drafter is a beginning of the text, and two
of them are compared by their losses at the same positions: those that both have read. At a position
that a drafter has not read the learner is told the leader's loss plus the mean difference of the
pair so far, and what is wrong in that is made good when the drafter has read it.
"""

from typing import NamedTuple

import numpy as np

from hedgespec.selectors.contract import compiled

# Entries of `Ledger.counts`: positions told; the last round before which all drafters were
# evaluated; the last round's drafter.
TOLD, ALL, DRAFTER = range(3)
# Entries of `Ledger.spent`: seconds of all rounds so far, those of evaluating in them.
ROUNDS, EVALUATION = range(2)
# Rows of `ArmSeconds.arms`: the first arm with the same drafter; whether it is that arm, and drafts
# at all; whether a round of its own holds the reading of a round's tokens.
OWNER, COUNTED, READS = range(3)


class ArmSeconds(NamedTuple):
    """What rounds and evaluations take; see `no_seconds` where no costs are known.

    `arms` (3, N, int64) has rows as below. `own` (N) are the seconds of a round of each arm alone.
    Row n of `alone` (W, N) are those of evaluating each arm's drafter alone on n tokens, of
    `together` (W) those of all in one batch; the first row is that of a round's tokens, the last
    one that of any more. `overhead` is in a round before which anybody is evaluated.
    """

    arms: np.ndarray
    own: np.ndarray
    alone: np.ndarray
    together: np.ndarray
    overhead: float = 0.0


def no_seconds(owner: np.ndarray, counted: np.ndarray) -> ArmSeconds:
    """Of arms whose seconds nobody knows: none."""
    arms = len(owner)
    return ArmSeconds(
        np.stack([owner, counted, counted]), np.zeros(arms), np.zeros((1, arms)), np.zeros(1)
    )


class Ledger(NamedTuple):
    """Of N arms in one text; M positions were told to the learner, in order.

    `read` (N, int64) are the positions of the text that each drafter was evaluated on, `chosen` (N,
    bool) the drafters evaluated before the present round; `seen` is that of `reading`. `positions`
    (M, int64) were told, with the losses `told` (M, N), of which the first `settled` (N, int64) are
    measured; `total` (N) are their sums, `owed` (N) what of them the learner was not told yet.
    `pairs` (N, N) counts positions at which both losses are known; `differences` and `squares` (N,
    N) are sums over them. `counts` and `spent` as above; `alone` (N) are the seconds of the text in
    which each drafter read alone.
    """

    seconds: ArmSeconds
    seen: np.ndarray
    read: np.ndarray
    chosen: np.ndarray
    counts: np.ndarray
    positions: np.ndarray
    told: np.ndarray
    settled: np.ndarray
    total: np.ndarray
    owed: np.ndarray
    pairs: np.ndarray
    differences: np.ndarray
    squares: np.ndarray
    spent: np.ndarray
    alone: np.ndarray


@compiled
def new_ledger(seconds, most):
    """A ledger for texts of at most `most` tokens; `open_ledger` begins one."""
    arms = seconds.own.shape[0]
    return Ledger(
        seconds,
        np.zeros(arms + 1, np.int64),
        np.zeros(arms, np.int64),
        np.zeros(arms, np.bool_),
        np.zeros(3, np.int64),
        np.empty(most, np.int64),
        np.empty((most, arms)),
        np.zeros(arms, np.int64),
        np.zeros(arms),
        np.zeros(arms),
        np.zeros((arms, arms)),
        np.zeros((arms, arms)),
        np.zeros((arms, arms)),
        np.zeros(2),
        np.zeros(arms),
    )


@compiled
def open_ledger(ledger):
    """Begin a text: nothing is known."""
    # Loops, here and below: array expressions take seconds to compile.
    for arm in range(ledger.read.shape[0]):
        ledger.read[arm] = ledger.settled[arm] = ledger.seen[arm] = 0
        ledger.total[arm] = ledger.owed[arm] = ledger.alone[arm] = 0.0
        ledger.chosen[arm] = False
        for other in range(ledger.read.shape[0]):
            ledger.pairs[arm, other] = ledger.differences[arm, other] = 0.0
            ledger.squares[arm, other] = 0.0
    ledger.counts[TOLD] = ledger.counts[ALL] = ledger.counts[DRAFTER] = 0
    ledger.spent[ROUNDS] = ledger.spent[EVALUATION] = 0.0
    ledger.seen[-1] = 0


@compiled
def unsettled(ledger):
    """The first told position, as a number, of which a drafter's loss may have become known."""
    first = ledger.counts[TOLD]
    for arm in range(ledger.chosen.shape[0]):
        if ledger.chosen[arm]:
            first = min(first, ledger.settled[arm])
    return first


@compiled
def furthest_read(ledger):
    """Positions of the text that some drafter has read."""
    most = ledger.read[0]
    for arm in range(1, ledger.read.shape[0]):
        most = max(most, ledger.read[arm])
    return most


@compiled
def settle(ledger, number, window, losses):
    """Take the losses (N) at the told position of that `number` of who has read on since.

    To be called of each from `unsettled` on, in order, before `tell`. A loss takes `window`
    positions from its own on.
    """
    end = ledger.positions[number] + window
    settled, told = ledger.settled, ledger.told
    for arm in range(losses.shape[0]):
        if settled[arm] != number or ledger.read[arm] < end:
            continue
        for other in range(losses.shape[0]):
            if settled[other] > number:
                _pair(ledger, arm, other, losses)
        correction = losses[arm] - told[number, arm]
        ledger.owed[arm] += correction
        ledger.total[arm] += correction
        told[number, arm] = losses[arm]
        settled[arm] = number + 1


@compiled
def tell(ledger, position, window, losses, shown):
    """Write what the learner is told of a position, `shown` (N), from the losses (N) there.

    Of a drafter that has not read it, it is the leader's loss plus the mean difference so far. What
    is owed is shown along, as far as [0, 1] allows, the rest later.
    """
    number, arms = ledger.counts[TOLD], losses.shape[0]
    leader = -1
    for arm in range(arms):
        if ledger.read[arm] >= position + window and (
            leader < 0 or ledger.total[arm] < ledger.total[leader]
        ):
            leader = arm
    for arm in range(arms):
        if ledger.read[arm] < position + window:
            ledger.told[number, arm] = losses[leader] + mean_difference(ledger, arm, leader)
    ledger.positions[number] = position
    for arm in range(arms):
        if ledger.read[arm] >= position + window:
            ledger.told[number, arm] = losses[arm]
            for other in range(arm):
                if ledger.settled[other] > number:
                    _pair(ledger, arm, other, losses)
            ledger.settled[arm] = number + 1
    for arm in range(arms):
        ledger.total[arm] += ledger.told[number, arm]
        ledger.owed[arm] += ledger.told[number, arm]
        shown[arm] = min(max(ledger.owed[arm], 0.0), 1.0)
        ledger.owed[arm] -= shown[arm]
    ledger.counts[TOLD] = number + 1


@compiled
def _pair(ledger, one, other, losses):
    difference = losses[one] - losses[other]
    ledger.pairs[one, other] += 1.0
    ledger.pairs[other, one] += 1.0
    ledger.differences[one, other] += difference
    ledger.differences[other, one] -= difference
    ledger.squares[one, other] += difference * difference
    ledger.squares[other, one] += difference * difference


@compiled
def mean_difference(ledger, arm, other):
    """Mean loss of `arm` minus that of `other` at the positions that both have read; 0 of none."""
    pairs = ledger.pairs[arm, other]
    return ledger.differences[arm, other] / pairs if pairs > 0.0 else 0.0


@compiled
def standard_error(ledger, arm, other):
    """That of `mean_difference`, the positions taken as independent; infinite below two of them."""
    pairs = ledger.pairs[arm, other]
    if pairs < 2.0:
        return np.inf
    mean = ledger.differences[arm, other] / pairs
    squares = max(ledger.squares[arm, other] - pairs * mean * mean, 0.0)
    return np.sqrt(squares / (pairs - 1.0) / pairs)


@compiled
def leader_of(ledger):
    """The arm with the least total; the first of several."""
    leader = 0
    for arm in range(1, ledger.total.shape[0]):
        if ledger.total[arm] < ledger.total[leader]:
            leader = arm
    return leader


@compiled
def note_round(ledger, arm, start):
    """A round of `arm` at `start` follows the evaluation of those chosen."""
    ledger.counts[DRAFTER] = arm
    if ledger.seconds.alone.shape[0] == 1:  # nobody knows
        return
    evaluation, catching_up = reading(
        ledger.seen, ledger.chosen, arm, start, ledger.seconds, ledger.alone
    )
    ledger.spent[EVALUATION] += evaluation
    ledger.spent[ROUNDS] += ledger.seconds.own[arm] + evaluation + catching_up


@compiled
def reading(seen, chosen, arm, start, seconds, alone):
    """Seconds that reading adds to a round of `arm` at `start`: of evaluation, of catching up.

    The drafters of the arms `chosen` (N) are evaluated, one by one on what each has not read; or,
    if they are all, in one batch on what all did not read together. Who drafts reads a round's
    tokens anyway, and before it what it was not there for. `seen` (N+1) are the tokens that the
    drafter of each owner has read, and those that all have read together. Of these seconds those in
    which a drafter reads alone are added to its `alone` (N); the others are in one batch.
    """
    arms, counted = chosen.shape[0], seconds.arms[COUNTED]
    anybody, whole = False, True
    evaluation, catching_up = 0.0, 0.0
    for other in range(arms):
        if counted[other] and chosen[other]:
            anybody = True
            evaluation += _row(seconds.alone, start - seen[other])[other]
        elif counted[other]:
            whole = False
    together = np.inf
    if whole:
        together = _row(seconds.together, start - seen[arms])
        seen[arms] = start
    for other in range(arms):
        if counted[other] and chosen[other]:
            if evaluation <= together:
                alone[other] += _row(seconds.alone, start - seen[other])[other]
            seen[other] = start
    evaluation = min(evaluation, together)
    if anybody:
        evaluation += seconds.overhead
    own = seconds.arms[OWNER, arm]
    if seconds.arms[READS, arm]:
        if chosen[arm]:
            evaluation -= seconds.alone[0, arm]
            alone[own] -= seconds.alone[0, arm]
        else:
            catching_up = _row(seconds.alone, start - seen[own])[arm] - seconds.alone[0, arm]
            alone[own] += catching_up
    seen[own] = start
    return evaluation, catching_up


@compiled
def _row(table, tokens):
    return table[min(tokens, table.shape[0] - 1)]
