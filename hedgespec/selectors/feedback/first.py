"""No evaluation any more after the text's first n tokens."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import EvaluationPolicy


@compiled
def evaluated(amount, position, number, begun):
    """Whether the position is among the first `amount`."""
    return position < amount


POLICY = EvaluationPolicy(
    name="first",
    help="only the first n tokens are evaluated",
    evaluated=evaluated,
    spares=True,
    symbol="n",
)
