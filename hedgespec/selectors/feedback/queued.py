"""Queued feedback: each position's loss, in order, as soon as it is complete."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import ArrivalPolicy


@compiled
def arrived(position, known, window, length):
    """Whether all positions that the loss takes are known."""
    return position + window <= known


POLICY = ArrivalPolicy(
    name="queued",
    help="each position's loss, in order, as soon as it is complete (the default)",
    arrived=arrived,
)
