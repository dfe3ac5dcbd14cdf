"""Evaluation that finishes D rounds later, beside the rounds in between."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import DelayPolicy


@compiled
def known(amount, key, starts, rounds, start):
    """Where the round began that is `amount` rounds back."""
    return starts[rounds - amount] if rounds >= amount else 0


POLICY = DelayPolicy(name="rounds", help="evaluation finishes D rounds later", known=known)
