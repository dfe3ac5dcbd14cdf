"""When a learner gets which losses: one policy per file, one schedule for replays and live."""

from hedgespec.selectors.feedback.contract import (
    ArrivalPolicy,
    DelayPolicy,
    EvaluationPolicy,
    RegretPolicy,
)
from hedgespec.selectors.feedback.registry import ARRIVALS, MODIFIERS
from hedgespec.selectors.feedback.schedule import (
    MOST_WAITING,
    NO_END,
    Schedule,
    needed,
    next_due,
)
from hedgespec.selectors.feedback.setting import (
    Feedback,
    feedback_help,
    modifier_help,
    parse_feedback,
)

__all__ = [
    "ARRIVALS", "MODIFIERS", "MOST_WAITING", "NO_END", "ArrivalPolicy", "DelayPolicy",
    "EvaluationPolicy", "Feedback", "RegretPolicy", "Schedule", "feedback_help", "modifier_help",
    "needed", "next_due", "parse_feedback",
]
