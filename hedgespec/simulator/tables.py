"""Tables over all start positions for the replays, and exact expectations of fixed drafters."""

import numba
import numpy as np

from hedgespec.selectors.losses import length_loss


@numba.njit(cache=True, nogil=True, error_model="numpy")
def loss_table(first, last, offsets, survive, end, draft_length, loss):
    """Fill loss[t] (T, N) with `length_loss` of every start position of queries first..last-1.

    A start position whose K positions do not all lie in the query gets NaN: its loss can never
    be observed.
    """
    for query in range(first, last):
        complete = offsets[query + 1] - draft_length
        for start in range(offsets[query], offsets[query + 1]):
            if start <= complete:
                length_loss(survive, end, start, draft_length, loss[start])
            else:
                loss[start] = np.nan


@numba.njit(cache=True, nogil=True, error_model="numpy")
def round_table(first, last, offsets, acceptance, draft_length, emitted):
    """Fill emitted[t] (T, N): expected tokens of a round from t given the text, cut at its end."""
    deepest = acceptance.shape[1] - 1
    for query in range(first, last):
        end = offsets[query + 1]
        for start in range(offsets[query], end):
            for arm in range(acceptance.shape[2]):
                reached, total = 1.0, 1.0
                # The last position of the text is emitted whether its draft is accepted or not.
                for step in range(min(draft_length, end - start - 1)):
                    reached *= acceptance[start + step, min(step, deepest), arm]
                    total += reached
                emitted[start, arm] = total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def expected_rounds(first, last, offsets, acceptance, draft_length, rounds):
    """Fill rounds[query] (Q, N): exact expected rounds of each fixed drafter given the text.

    visit[0] = 1 and visit[t + l] += visit[t] P(L = l | t) with L the tokens of a round from t;
    the expected number of rounds is the sum of visit over the positions.
    """
    deepest = acceptance.shape[1] - 1
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        visit = np.empty(end - begin)
        for arm in range(acceptance.shape[2]):
            visit[:] = 0.0
            visit[0] = 1.0
            for start in range(begin, end):
                reached = visit[start - begin]
                rounds[query, arm] += reached
                for step in range(min(draft_length, end - start - 1)):
                    accept = acceptance[start + step, min(step, deepest), arm]
                    visit[start + step + 1 - begin] += reached * (1.0 - accept)
                    reached *= accept
                if start + draft_length + 1 < end:
                    visit[start + draft_length + 1 - begin] += reached
