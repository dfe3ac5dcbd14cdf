"""Regret against what was really played where the position lies."""

from hedgespec.selectors.feedback.contract import RegretPolicy

POLICY = RegretPolicy(
    name="actual",
    help="regret against what was really played, not the play the learner would make there",
    actual=True,
)
