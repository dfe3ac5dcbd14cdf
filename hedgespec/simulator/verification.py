"""One round of chain drafting, given the recorded text."""

import numba

from hedgespec.selectors.uniforms import ACCEPTANCE, uniform


@numba.njit(nogil=True)
def emitted_tokens(acceptance, arm, begin, start, end, draft_length, key):
    """Tokens emitted by a round of drafter `arm` from `start`: 1 .. K+1, cut at the query's end.

    The draft token at a position is accepted iff the position's uniform number is below its
    realised acceptance probability; given the text these events are independent, which makes the
    replay exact in distribution. `acceptance` has shape (T, D, N); positions are rows of it,
    `begin` is the query's first.
    """
    deepest = acceptance.shape[1] - 1
    longest = min(draft_length, end - start)
    for step in range(longest):
        position = start + step
        u = uniform(key, position - begin, ACCEPTANCE)
        if not u < acceptance[position, min(step, deepest), arm]:
            return step + 1
    return min(longest + 1, end - start)
