"""Greedy verification: at temperature 0 a draft token is accepted iff it is the target's argmax."""

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.rules.base import Statistics
from hedgespec.traces import Trace


def check(trace: Trace) -> None:
    """Raises HedgespecError unless the target wrote greedily."""
    temperature = trace.manifest.sampling.temperature
    if temperature != 0:
        raise HedgespecError(
            f"trace {trace.name}: rule greedy needs text written at temperature 0, this one was "
            f"sampled at {temperature:g}; use --rule sampling"
        )


def expected(trace: Statistics | Trace) -> np.ndarray:
    """gamma: 1 where the drafter's argmax is the emitted token, else 0, shape (T, D, N)."""
    return realised(trace)


def realised(trace: Statistics | Trace) -> np.ndarray:
    """The same as `expected`: nothing is random."""
    return trace.match.astype(np.float32)
