"""Censored feedback: at the end of each round, sums cut off at what is verified by then."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import ArrivalPolicy, DelayPolicy, SetPolicy


@compiled
def arrived(position, known, window, length):
    """Whether the position itself is known."""
    return position < known


POLICY = ArrivalPolicy(
    name="censored",
    help="losses at the end of each round, cut off at the verified text: early, but biased",
    arrived=arrived,
    cut=True,
    excludes=(DelayPolicy, SetPolicy),
    reason="censored comes at the end of the round; rounds:D delays queued only, and "
    "all drafters are evaluated",
)
