"""Tables over all start positions for the replays, and exact expectations of fixed drafters."""

import numpy as np

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.losses import (
    advance_visits,
    begin_visits,
    expected_emitted,
    position_loss,
)


@compiled
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


@compiled
def visit_table(first, last, offsets, survive, end, draft_length, loss):
    """Fill loss[t] (T, N) of every position with the loss `visit`; see `advance_visits`."""
    phases = np.empty((loss.shape[1], draft_length + 1))
    for query in range(first, last):
        begin_visits(phases, loss[offsets[query]])
        for start in range(offsets[query] + 1, offsets[query + 1]):
            advance_visits(survive, end, start - 1, phases, loss[start])


@compiled
def round_table(first, last, offsets, acceptance, draft_length, emitted):
    """Fill emitted[t] (T, N): expected tokens of a round from t given the text, cut at its end."""
    for query in range(first, last):
        end = offsets[query + 1]
        for start in range(offsets[query], end):
            # The last position of the text is emitted whether its draft is accepted or not.
            longest = min(draft_length, end - start - 1)
            for arm in range(acceptance.shape[2]):
                emitted[start, arm] = expected_emitted(acceptance, acceptance, start, longest, arm)


@compiled
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


@compiled
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


@compiled
def played_moments(first, last, offsets, acceptance, plays, draft_length, visits, usage, variance):
    """Exact moments where a round from token t plays plays[t] (T, N); see `moments`.

    Fills `visits` (T), the probability that a round starts there, `usage` (Q, N), the expected
    rounds of each drafter, and `variance` (Q) of the number of rounds.
    """
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        variance[query] = moments(
            plays[begin:end], acceptance, begin, end, draft_length, visits[begin:end], usage[query]
        )


@compiled
def assigned_moments(
    first, last, offsets, acceptance, assigned, draft_length, visits, usage, variance
):
    """Exact moments where a round from token t uses drafter assigned[t]; see `moments`."""
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        plays = np.zeros((end - begin, acceptance.shape[2]))
        for start in range(begin, end):
            plays[start - begin, assigned[start]] = 1.0
        variance[query] = moments(
            plays, acceptance, begin, end, draft_length, visits[begin:end], usage[query]
        )


@compiled
def fixed_visits(acceptance, arm, begin, end, draft_length, visits):
    """Fill visits (L): the probability that a round of one drafter starts at each token of a query,
    begin..end-1; see `moments`."""
    law = np.empty(draft_length + 2)
    visits[:] = 0.0
    visits[0] = 1.0
    for start in range(begin, end):
        longest = min(draft_length, end - start - 1)
        law[:] = 0.0
        add_round_law(acceptance, arm, start, longest, visits[start - begin], law)
        for emitted in range(1, min(longest + 1, end - start - 1) + 1):
            visits[start + emitted - begin] += law[emitted]


@compiled
def running_sums(first, last, offsets, places, values, sums):
    """Fill sums[query] (Q, G): the sum of `values` (T) over the query's tokens before `places`
    (Q, G), which rise."""
    for query in range(first, last):
        token = offsets[query]
        total = 0.0 * values[token]  # of what is not known nothing is, at no place
        for number in range(places.shape[1]):
            while token < offsets[query] + places[query, number]:
                total += values[token]
                token += 1
            sums[query, number] = total


@compiled
def rounds_until_half(offsets, visits, mine, window, found):
    """Fill found[query] (Q): the rounds `visits` (T) until half of the last `window` of them were
    `mine` (T); NaN where it never is.

    Both may be expected numbers of rounds from a token: the window then begins between two tokens,
    and its rounds are linear between them.
    """
    tolerance = 1e-9  # of sums
    for query in range(len(offsets) - 1):
        found[query] = np.nan
        before = begin = offsets[query]  # the token in whose rounds the window begins
        rounds = share = 0.0
        rounds_before = share_before = 0.0
        for token in range(begin, offsets[query + 1]):
            rounds += visits[token]
            share += visits[token] * mine[token]
            if rounds <= window - tolerance:
                continue
            out = rounds - window
            while before <= token and rounds_before + visits[before] <= out:
                rounds_before += visits[before]
                share_before += visits[before] * mine[before]
                before += 1
            earlier = share_before + max(0.0, out - rounds_before) * mine[before]
            if share - earlier > window / 2 - tolerance:
                found[query] = rounds
                break


@compiled
def expected_sums(first, last, offsets, acceptance, draft_length, each, sums):
    """Fill sums[query] (Q, N): the expected sum over the rounds of each fixed drafter of what a
    round from each token has, `each` (T, N), or (1, N) if all are alike."""
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        visits = np.empty(end - begin)
        for arm in range(acceptance.shape[2]):
            fixed_visits(acceptance, arm, begin, end, draft_length, visits)
            for place in range(end - begin):
                row = begin + place if len(each) > 1 else 0
                sums[query, arm] += visits[place] * each[row, arm]


@compiled
def draft_counts(
    first, last, offsets, acceptance, draft_length, drafted, drafts, tokens, reached, accepted
):
    """Fill what becomes of each fixed drafter's drafts in a query; see `DraftCounts`.

    `drafted` (T, N), or (1, N) if all are alike, are the tokens of a draft from each token;
    `drafts` and `tokens` (Q, N), `reached` and `accepted` (Q, K, N).
    """
    deepest = acceptance.shape[1] - 1
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        visits = np.empty(end - begin)
        for arm in range(acceptance.shape[2]):
            fixed_visits(acceptance, arm, begin, end, draft_length, visits)
            for start in range(begin, end):
                count = drafted[start if len(drafted) > 1 else 0, arm]
                weight = visits[start - begin]
                drafts[query, arm] += weight * (count > 0)
                tokens[query, arm] += weight * count
                for step in range(min(draft_length, count, end - start)):
                    reached[query, step, arm] += weight
                    weight *= acceptance[start + step, min(step, deepest), arm]
                    accepted[query, step, arm] += weight


@compiled
def covered_values(first, last, offsets, acceptance, draft_length, values, visits, plays, sums):
    """Fill sums[query] (Q): expected sum over tokens of what `values` (T, N) says of the drafter of
    the round that emits them, the target's own token after a draft being part of it.

    Rounds start with `visits` (T) and use a drafter with `plays` (T, N).
    """
    deepest = acceptance.shape[1] - 1
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        for start in range(begin, end):
            for arm in range(acceptance.shape[2]):
                weight = visits[start] * plays[start, arm]
                if weight == 0.0:
                    continue
                for step in range(min(draft_length + 1, end - start)):
                    sums[query] += weight * values[start + step, arm]
                    if step < draft_length:
                        weight *= acceptance[start + step, min(step, deepest), arm]


@compiled
def switching_table(first, last, offsets, acceptance, draft_length, rounds):
    """Fill rounds[t] (T, N): rounds expected from t on if that drafter runs the first of them, and
    each later one is run by whichever has the fewest from there; by recursion from the end."""
    law = np.empty(draft_length + 2)
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        fewest = np.zeros(end - begin + 1)
        for start in range(end - 1, begin - 1, -1):
            longest = min(draft_length, end - start - 1)
            for arm in range(acceptance.shape[2]):
                law[:] = 0.0
                add_round_law(acceptance, arm, start, longest, 1.0, law)
                ahead = 1.0
                for emitted in range(1, longest + 2):
                    ahead += law[emitted] * fewest[start + emitted - begin]
                rounds[start, arm] = ahead
            fewest[start - begin] = rounds[start].min()
