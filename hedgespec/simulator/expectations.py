"""Tables over all start positions for the replays, and exact expectations of fixed drafters."""

import numba
import numpy as np

from hedgespec.selectors.losses import (
    advance_visits,
    begin_visits,
    expected_emitted,
    position_loss,
)


@numba.njit(nogil=True, error_model="numpy")
def loss_table(
    first, last, offsets, survive, end, gamma, accept_weight, window, draft_length, loss
):
    """Fill loss[t] (T, N) of every start position of queries first..last-1.

    It is `position_loss`. A start position whose
    `window` positions do not all lie in the query gets NaN: its loss can never be observed.
    """
    for query in range(first, last):
        complete = offsets[query + 1] - window
        for start in range(offsets[query], offsets[query + 1]):
            if start > complete:
                loss[start] = np.nan
                continue
            position_loss(survive, end, gamma, start, accept_weight, draft_length, loss[start])


@numba.njit(nogil=True, error_model="numpy")
def visit_table(first, last, offsets, survive, end, draft_length, loss):
    """Fill loss[t] (T, N) of every position with the loss `visit`; see `advance_visits`."""
    phases = np.empty((loss.shape[1], draft_length + 1))
    for query in range(first, last):
        begin_visits(phases, loss[offsets[query]])
        for start in range(offsets[query] + 1, offsets[query + 1]):
            advance_visits(survive, end, start - 1, phases, loss[start])


@numba.njit(nogil=True, error_model="numpy")
def round_table(first, last, offsets, acceptance, draft_length, emitted):
    """Fill emitted[t] (T, N): expected tokens of a round from t given the text, cut at its end."""
    for query in range(first, last):
        end = offsets[query + 1]
        for start in range(offsets[query], end):
            # The last position of the text is emitted whether its draft is accepted or not.
            longest = min(draft_length, end - start - 1)
            for arm in range(acceptance.shape[2]):
                emitted[start, arm] = expected_emitted(acceptance, acceptance, start, longest, arm)


@numba.njit(nogil=True, error_model="numpy")
def add_round_law(acceptance, arm, start, longest, weight, law):
    """Add weight * P(m tokens emitted) to law[m] for a round of `arm` from `start`.

    `longest` is the draft length, or less where the text ends; m goes from 1 to longest + 1.
    """
    deepest = acceptance.shape[1] - 1
    for step in range(longest):
        accept = acceptance[start + step, min(step, deepest), arm]
        law[step + 1] += weight * (1.0 - accept)
        weight *= accept
    law[longest + 1] += weight


@numba.njit(nogil=True, error_model="numpy")
def moments(plays, acceptance, begin, end, draft_length, visits, usage):
    """Exact moments of one query whose play at each position is known; returns Var[rounds].

    `plays` (L, N) are the probabilities of the drafters in a round from each position. With
    P(s, m) = sum_i plays[s, i] P_i(M = m | s) the law of a round's length from s (cut at the end):

    visits[0] = 1, visits[s + m] += visits[s] P(s, m); E[rounds] = sum visits;
    V(s) = 1 + sum_m P(s, m) V(s+m), S(s) = 1 + 2 sum_m P(s, m) V(s+m) + sum_m P(s, m) S(s+m)

    are E and E of the square of the rounds from s on. Fills `visits` (L) and adds to `usage` (N).
    """
    length = end - begin
    law = np.zeros((length, draft_length + 2))
    visits[:] = 0.0
    visits[0] = 1.0
    for start in range(length):
        longest = min(draft_length, length - start - 1)
        for arm in range(plays.shape[1]):
            usage[arm] += visits[start] * plays[start, arm]
            add_round_law(acceptance, arm, begin + start, longest, plays[start, arm], law[start])
        for emitted in range(1, longest + 2):
            if start + emitted < length:
                visits[start + emitted] += visits[start] * law[start, emitted]
    mean, square = np.zeros(length + 1), np.zeros(length + 1)
    for start in range(length - 1, -1, -1):
        ahead, ahead_square = 0.0, 0.0
        for emitted in range(1, min(draft_length, length - start - 1) + 2):
            ahead += law[start, emitted] * mean[start + emitted]
            ahead_square += law[start, emitted] * square[start + emitted]
        mean[start] = 1.0 + ahead
        square[start] = 1.0 + 2.0 * ahead + ahead_square
    return square[0] - mean[0] * mean[0]


@numba.njit(nogil=True, error_model="numpy")
def assigned_moments(
    first, last, offsets, acceptance, assigned, draft_length, visits, usage, variance
):
    """Exact moments where a round from token t uses drafter assigned[t]; see `moments`."""
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        plays = np.zeros((end - begin, acceptance.shape[2]))
        for start in range(begin, end):
            plays[start - begin, assigned[start]] = 1.0
        variance[query] = moments(plays, acceptance, begin, end, draft_length,
                                  visits[begin:end], usage[query])


@numba.njit(nogil=True, error_model="numpy")
def expected_rounds(first, last, offsets, acceptance, draft_length, rounds):
    """Fill rounds[query] (Q, N): exact expected rounds of each fixed drafter; see `moments`."""
    law = np.empty(draft_length + 2)
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        visits = np.empty(end - begin)
        for arm in range(acceptance.shape[2]):
            visits[:] = 0.0
            visits[0] = 1.0
            for start in range(begin, end):
                reached = visits[start - begin]
                rounds[query, arm] += reached
                longest = min(draft_length, end - start - 1)
                law[:] = 0.0
                add_round_law(acceptance, arm, start, longest, reached, law)
                for emitted in range(1, min(longest + 1, end - start - 1) + 1):
                    visits[start + emitted - begin] += law[emitted]
