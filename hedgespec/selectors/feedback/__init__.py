"""When a learner gets which losses: one policy per file, one schedule for replays and live."""

from hedgespec.selectors.feedback.contract import (
    Amount,
    ArrivalPolicy,
    DelayPolicy,
    EvaluationPolicy,
    RegretPolicy,
    SetPolicy,
)
from hedgespec.selectors.feedback.ledger import (
    TOLD,
    ArmSeconds,
    Ledger,
    furthest_read,
    new_ledger,
    no_seconds,
    note_round,
    open_ledger,
    reading,
    settle,
    tell,
    unsettled,
)
from hedgespec.selectors.feedback.registry import ARRIVALS, MODIFIERS
from hedgespec.selectors.feedback.schedule import (
    MOST_WAITING,
    NO_END,
    Schedule,
    needed,
    next_due,
    next_known,
)
from hedgespec.selectors.feedback.sets import choose_drafters
from hedgespec.selectors.feedback.setting import (
    Feedback,
    feedback_help,
    modifier_help,
    parse_feedback,
)

__all__ = [
    "ARRIVALS",
    "MODIFIERS",
    "MOST_WAITING",
    "NO_END",
    "TOLD",
    "Amount",
    "ArmSeconds",
    "ArrivalPolicy",
    "DelayPolicy",
    "EvaluationPolicy",
    "Feedback",
    "Ledger",
    "RegretPolicy",
    "Schedule",
    "SetPolicy",
    "choose_drafters",
    "feedback_help",
    "furthest_read",
    "modifier_help",
    "needed",
    "new_ledger",
    "next_due",
    "next_known",
    "no_seconds",
    "note_round",
    "open_ledger",
    "parse_feedback",
    "reading",
    "settle",
    "tell",
    "unsettled",
]
