"""Evaluation in every M-th round only."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import EvaluationPolicy


@compiled
def evaluated(amount, position, number, begun):
    """Whether the round is an `amount`-th one."""
    return number % amount == 0


POLICY = EvaluationPolicy(
    name="every",
    help="only every M-th round is evaluated",
    evaluated=evaluated,
    spares=True,
    symbol="M",
)
