"""BOLD (Joulani, Gyorgy & Szepesvari 2013): queued losses to copies of the learner, in turn.

The largest delay of a loss that takes `window` positions is 2 window - 1 decisions; with one copy
more than that no copy decides before it has learned of its last decision.
"""

from hedgespec.selectors.feedback.contract import (
    ArrivalPolicy,
    DelayPolicy,
    EvaluationPolicy,
    RegretPolicy,
    SetPolicy,
)
from hedgespec.selectors.feedback.queued import arrived

POLICY = ArrivalPolicy(
    name="bold",
    help="as queued, to 2K independent copies of the learner in turn (BOLD)",
    arrived=arrived,
    copies=lambda window: 2 * window,
    excludes=(DelayPolicy, EvaluationPolicy, SetPolicy, RegretPolicy),
    reason="bold has as many copies as the delay of queued needs, and stands alone",
)
