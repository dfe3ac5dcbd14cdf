"""Speculative sampling (Leviathan et al. 2211.17192; Chen et al. 2302.01318).

A draft token y is accepted with probability min(1, p(y)/q(y)), else the target's token comes from
norm((p-q)+). The emitted text is distributed as the target's own. Given that token x was emitted,
the draft had been accepted with probability min(1, q(x)/p(x)).
"""

import numpy as np

from hedgespec.rules.base import Statistics
from hedgespec.traces import Trace


def check(trace: Trace) -> None:
    """Every trace has what this rule needs; at temperature 0 it coincides with `greedy`."""


def expected(trace: Statistics | Trace) -> np.ndarray:
    """gamma = sum_v min(p(v), q(v)), shape (T, D, N)."""
    return trace.gamma


def realised(trace: Statistics | Trace) -> np.ndarray:
    """a = min(1, q(x)/p(x)) of the emitted token x, shape (T, D, N), float32 in [0, 1]."""
    ratio = trace.log_q - trace.log_p[:, None, None]
    return np.exp(np.minimum(ratio, 0.0))
