"""Regret against what was really played where the position lies."""

from hedgespec.selectors.feedback.contract import RegretPolicy

POLICY = RegretPolicy(
    name="actual",
    help="regret against what was really played, not against what would have been",
    actual=True,
)
