"""Foresight: at the end of each round, complete losses, which need text that is not there yet."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import ArrivalPolicy, DelayPolicy, SetPolicy


@compiled
def arrived(position, known, window, length):
    """Whether the position is known, and its loss will ever be complete."""
    return position < known and position + window <= length


POLICY = ArrivalPolicy(
    name="foresight",
    help="complete losses at the end of each round: not possible live, an upper bound",
    arrived=arrived,
    live=False,
    excludes=(DelayPolicy, SetPolicy),
    reason="foresight comes at the end of the round; rounds:D delays queued only, and "
    "all drafters are evaluated",
    aliases=("oracle",),
)
