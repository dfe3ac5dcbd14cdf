"""Finds where a text said before what it says at its end."""

import numba
import numpy as np


@numba.njit
def _common(tokens, end, position, longest):
    """How many tokens before `end` are those before `position`, `longest` at most."""
    length = 0
    while length < min(longest, end) and (
        tokens[end - 1 - length] == tokens[position - 1 - length]
    ):
        length += 1
    return length


def continued(tokens: np.ndarray, count: int, longest: int) -> np.ndarray:
    """Up to `count` tokens behind a text: each followed the latest of the longest matches before.

    As token by token with `matches`, in one call; ends where there is no match.
    """
    text = np.empty(len(tokens) + count, dtype=np.int64)
    text[: len(tokens)] = tokens
    return text[len(tokens) : _go_on(text, len(tokens), longest)]


@numba.njit
def _go_on(text, known, longest):
    """Write what follows the `known` tokens of a text; how far it went."""
    for position in range(known, len(text)):
        best, found = 0, -1
        for end in range(position - 1, 0, -1):
            length = _common(text, end, position, longest)
            if length > best:
                best, found = length, end
                if best == longest:
                    break
        if found < 0:
            return position
        text[position] = text[found]
    return len(text)


@numba.njit
def matches(tokens, first, longest, latest_only):
    """For each position from `first` on, what followed the earlier matches of the tokens before.

    A match at `end` is of length n if the n tokens before `end` are the n tokens before the
    position; only matches of the greatest length, at most `longest`, count. Returns their
    positions, counted from `first`, the tokens that followed, the latest match first, and their n.
    """
    positions = [0 for _ in range(0)]
    followers = [0 for _ in range(0)]
    matched = [0 for _ in range(0)]
    lengths = np.empty(len(tokens), dtype=np.int64)
    for position in range(first, len(tokens)):
        best = 0
        for end in range(position - 1, 0, -1):
            lengths[end] = length = _common(tokens, end, position, longest)
            best = max(best, length)
            if latest_only and best == longest:
                break
        if best == 0:
            continue
        for end in range(position - 1, 0, -1):
            if lengths[end] == best:
                positions.append(position - first)
                followers.append(tokens[end])
                matched.append(best)
                if latest_only:
                    break
    return np.array(positions), np.array(followers), np.array(matched)
