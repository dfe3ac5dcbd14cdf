"""Counter-based uniform numbers: a function of (seed, query, position, stream), not of any order.

All drafters and learners share the numbers of a query and position (common random numbers), so
comparisons are paired, and the number of threads cannot matter.
"""

import numba
import numpy as np

ACCEPTANCE = 0  # decides whether the draft token at a position is accepted
SELECTION = 1  # draws the drafter of the round that starts at a position

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(nogil=True, inline="always")
def _mix(x):
    """Finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(nogil=True)
def query_key(seed, query):
    """64-bit key of one query under one seed; signed, so that Python callers can pass it on."""
    return np.int64(_mix(_mix(np.uint64(seed) + _GOLDEN) + np.uint64(query) * _GOLDEN))


@numba.njit(nogil=True)
def decision_key(key, position):
    """64-bit key for the numbers that a learner itself draws at a position of the query."""
    return query_key(key, position)


@numba.njit(nogil=True)
def uniform(key, position, stream):
    """Uniform in [0, 1) with 53 bits for a position of the query with this key."""
    counter = np.uint64(2) * np.uint64(position) + np.uint64(stream) + np.uint64(1)
    return (_mix(np.uint64(key) + counter * _GOLDEN) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
