"""Evaluation now and then, of all that was emitted since: gaps double up to M rounds."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import DelayPolicy


@compiled
def known(amount, key, starts, rounds, start):
    """The start of the last round whose number is 1, 2, 4, ... or a multiple of `amount`."""
    gap = 1
    while gap < amount and rounds >= min(2 * gap, amount):
        gap = min(2 * gap, amount)
    last = rounds - rounds % gap
    return start if last == rounds else starts[last]


POLICY = DelayPolicy(
    name="batch",
    help="evaluation in every M-th round, at first in rounds 1, 2, 4, ..., of all text since",
    known=known,
    spares=True,
    symbol="M",
)
