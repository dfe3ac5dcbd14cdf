"""Draws the drafters of one replay from plays that are known beforehand."""

import numpy as np

from hedgespec.selectors.contract import compiled, draw
from hedgespec.selectors.uniforms import SELECTION, query_key, uniform


@compiled
def drawn_drafters(seed, query, begin, end, plays):
    """Drafter (T, int16) that replay_full with this seed draws from `plays` (T, N) in a round from
    each token of the query begin..end-1; -1 elsewhere."""
    key = query_key(seed, query)
    drawn = np.full(len(plays), np.int16(-1))
    for start in range(begin, end):
        drawn[start] = draw(plays[start], uniform(key, start - begin, SELECTION))
    return drawn
