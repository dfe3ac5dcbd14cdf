"""Learning from the positions alone where rounds started."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import EvaluationPolicy


@compiled
def evaluated(amount, position, number, begun):
    """Whether a round started at the position."""
    return begun


POLICY = EvaluationPolicy(
    name="round",
    help="the learner learns only from positions where rounds started",
    evaluated=evaluated,
)
