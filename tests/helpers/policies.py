"""Selectors that live decoding is tested with, and their settings."""

from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.learning import parse_loss

# NormalHedge under all that changes its feeding, and learners of each kind.
POLICIES: dict[str, dict[str, object]] = {
    "normalhedge": {}, "hedge": {"feedback": parse_feedback("rounds:2")},
    "squint": {"loss": parse_loss("accept")}, "adahedge": {"feedback": parse_feedback("every:3")},
    "ftpl": {"feedback": parse_feedback("bold")}, "uniform": {}, "ucbspec": {}, "exp3spec": {},
    "metasd-ucb": {}, "thompson": {},
}
