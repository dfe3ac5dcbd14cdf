"""How many tokens drafters propose at each position: recorded, or found in what was recorded.

A drafter that continues earlier text either finds its last token there or proposes nothing. Once it
has found it, it finds each drafted token too, right behind the one before: such a draft has no end.
"""

from itertools import pairwise

import numpy as np

from hedgespec.traces.reader import Trace
from hedgespec.traces.schema import ENDLESS, optional_column

# Kinds of drafters that copy from the text; see models/drafters/context.py.
COPYING = ("prompt-lookup", "ngram")


def drafted_tokens(trace: Trace, drafter: int) -> np.ndarray | None:
    """Tokens (T, int64) of a draft of any length from each position; None: as many as are asked.

    Of drafters that copy, in traces that did not record it, a draft is known to be there where some
    acceptance is positive, or where the token before stands earlier in the answer. What only the
    prompt holds and the target all but excludes is missed.
    """
    info = trace.manifest.drafters[drafter]
    if "drafted" in info.statistics:
        return trace.optional[optional_column("drafted", info.name)].astype(np.int64)
    if info.kind not in COPYING:
        return None
    seen = (trace.p_top[:, 0, drafter] > 0) | (trace.gamma[:, 0, drafter] > 0)
    seen |= trace.log_q[:, 0, drafter] > -np.inf
    return np.where(seen | _repeated(trace), ENDLESS, 0)


def matched_tokens(trace: Trace, drafter: int) -> np.ndarray | None:
    """Length of the match that a drafter that copies found at each position, (T); None: unknown."""
    info = trace.manifest.drafters[drafter]
    if "matched" not in info.statistics:
        return None
    return trace.optional[optional_column("matched", info.name)]


def _repeated(trace: Trace) -> np.ndarray:
    """Whether the token before a position stands earlier in the same answer, (T)."""
    found = np.zeros(len(trace.tokens), dtype=bool)
    for begin, end in pairwise(trace.offsets):
        tokens = trace.tokens[begin:end]
        _, first, number = np.unique(tokens, return_index=True, return_inverse=True)
        found[begin + 1 : end] = first[number][:-1] < np.arange(end - begin - 1)
    return found
