"""How far two recordings of the same token ids are apart, one drafter each.

python -m tests.helpers.two_recordings TRACE OTHER
"""

import sys
from dataclasses import dataclass

import numpy as np

from hedgespec.simulator import Replayer
from hedgespec.traces import Trace, read_trace


@dataclass(frozen=True)
class Apart:
    """Greatest differences in log p and log q, where both are finite and above the floor, and in
    gamma; the share of tokens that one alone gives q = 0, and of matches that differ; the relative
    difference in MAT."""

    log_p: float
    log_q: float
    gamma: float
    one_sided: float
    match: float
    mat: float


def apart(one: Trace, other: Trace) -> Apart:
    """Of the first drafter of each; raises AssertionError for traces of other tokens."""
    assert (one.tokens == other.tokens).all()
    q, other_q = one.log_q[:, 0, 0], other.log_q[:, 0, 0]
    both = np.isfinite(q) & np.isfinite(other_q)
    mats = [
        len(trace.tokens) / Replayer(trace).expected_rounds[:, 0].sum() for trace in (one, other)
    ]
    return Apart(
        float(np.abs(one.log_p - other.log_p).max()),
        float(np.abs(q - other_q)[both].max()),
        float(np.abs(one.gamma[:, 0, 0] - other.gamma[:, 0, 0]).max()),
        float((np.isfinite(q) != np.isfinite(other_q)).mean()),
        float((one.match[:, 0, 0] != other.match[:, 0, 0]).mean()),
        abs(mats[0] / mats[1] - 1),
    )


if __name__ == "__main__":
    print(apart(*map(read_trace, sys.argv[1:3])))
