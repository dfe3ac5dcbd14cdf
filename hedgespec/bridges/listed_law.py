"""From listed tokens to the law that is sampled from, and to the statistics of a trace.

The NumPy transcription of `models.distributions` and `models.acceptance`, which need torch, for
distributions of which only the most probable tokens are known (`tests/bridges/test_law.py` compares
them). Where top-k keeps no more tokens than are listed, nothing is unknown. Without it p and q of
the text's tokens are exact still, and gamma lies between bounds.
"""

from dataclasses import dataclass

import numpy as np

from hedgespec.bridges.dialects.base import Listed
from hedgespec.errors import HedgespecError, arg
from hedgespec.models.settings import Sampling
from hedgespec.traces.schema import BOUNDS


@dataclass(frozen=True)
class Law:
    """A law at T positions, as far as it is known.

    `ids` and `p` (T, k+1) are tokens and their probabilities; the last column is the text's token
    where it is not among those before, and -1 and 0 where it is, as wherever there is none. `own`
    (T) is the probability of the text's token, `top` (T) the most probable token, `unseen` (T) the
    mass of all tokens that are not listed, each of which has at most `least` (T).
    """

    ids: np.ndarray
    p: np.ndarray
    own: np.ndarray
    top: np.ndarray
    unseen: np.ndarray
    least: np.ndarray


def check_law(sampling: Sampling, top: int) -> None:
    """Raise HedgespecError for a law that `top` listed tokens do not tell, unless those are all."""
    if sampling.temperature == 0 or 0 < sampling.top_k <= top:
        return
    if sampling.top_k:
        raise HedgespecError(
            f"{arg('top_k', sampling.top_k)}: only {top} tokens are listed at "
            f"a position; give {arg('top_logprobs', sampling.top_k)}"
        )
    if sampling.temperature != 1 or sampling.top_p < 1:
        raise HedgespecError(
            f"{arg('temperature', sampling.temperature)}, {arg('top_p', sampling.top_p)} without "
            f"{arg('top_k')}: this needs the whole vocabulary, which a server does not list; "
            f"give {arg('top_k', top)}, or temperature 1 and top_p 1"
        )


def law(listed: Listed, tokens: np.ndarray, sampling: Sampling, target: bool) -> Law:
    """What a model with these logs samples from, the text being `tokens` (T).

    The target has sampled them, so they stay in its law wherever rounding would cut them off, and
    at temperature 0 they are it. Raises HedgespecError where the law needs more tokens.
    """
    top = listed.ids[:, 0]
    if sampling.temperature == 0:
        chosen = tokens if target else top
        return _one_hot(chosen, top, tokens)
    if not listed.whole:
        check_law(sampling, listed.ids.shape[1])
    scaled = listed.logs / sampling.temperature
    kept = _kept(scaled, sampling)
    among = listed.ids == tokens[:, None]
    ids = np.column_stack([listed.ids, np.where(among.any(axis=1), -1, tokens)])
    own = np.where(among.any(axis=1), -np.inf, listed.own / sampling.temperature)
    free = sampling.top_k == 0 and sampling.top_p == 1  # nothing is cut off
    if not (target or (free and not listed.whole)):
        own = np.full_like(own, -np.inf)
    if target:
        kept |= among
    weights = np.exp(np.column_stack([np.where(kept, scaled, -np.inf), own]))
    if free and not listed.whole:  # temperature 1: these are probabilities
        least = np.exp(listed.logs[:, -1])
        unseen = np.clip(1 - weights.sum(axis=1), 0, None)
    else:
        weights /= weights.sum(axis=1, keepdims=True)
        least = unseen = np.zeros(len(ids))
    ids = np.where(weights > 0, ids, -1)
    return Law(ids, weights, (weights * (ids == tokens[:, None])).sum(axis=1), top, unseen, least)


def _one_hot(chosen: np.ndarray, top: np.ndarray, tokens: np.ndarray) -> Law:
    zeros = np.zeros(len(chosen))
    return Law(
        chosen[:, None],
        np.ones((len(chosen), 1)),
        (chosen == tokens).astype(float),
        top,
        zeros,
        zeros,
    )


def _kept(scaled: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Which tokens top-k, then top-p leave, (T, k): Hugging Face's order and rules, which keep
    all that are as probable as the last one of the top k."""
    kept = scaled > -np.inf
    if sampling.top_k and sampling.top_k < scaled.shape[1]:
        kept &= scaled >= scaled[:, sampling.top_k - 1 : sampling.top_k]
    if sampling.top_p < 1:
        weights = np.exp(np.where(kept, scaled, -np.inf))
        shares = weights / weights.sum(axis=1, keepdims=True)
        above = shares.cumsum(axis=1) - shares  # of the more probable ones
        kept &= above < sampling.top_p
    return kept


def emitted_log(p: Law) -> np.ndarray:
    """log p (T) of the text's tokens; never -inf, since they were emitted."""
    found: np.ndarray = np.log(np.maximum(p.own, np.finfo(np.float32).tiny))
    return found


def statistics(p: Law, q: Law, tokens: np.ndarray, bounded: bool) -> dict[str, np.ndarray]:
    """log q(x), gamma, match and p_top (T each) of a trace; if `bounded`, p and q being known in
    part, also gamma's bounds, of which `gamma` is then the middle.

    p_top is then the least that it can be: 0 where the target does not list the drafter's token.
    """
    common, p_alone, q_alone, p_top = np.zeros((4, len(tokens)))
    for row in range(len(tokens)):
        common[row], p_alone[row], q_alone[row] = _shared(p, q, row)
        p_top[row] = p.p[row][p.ids[row] == q.top[row]].sum()
    with np.errstate(divide="ignore"):
        log_q = np.log(q.own)
    found = {"log_q": log_q, "match": q.top == tokens, "p_top": p_top}
    if not bounded:
        return {**found, "gamma": np.clip(common, 0, 1)}
    # Mass that q has beyond its list lies on tokens that only p lists, or on none of either's.
    on_p, on_q = np.minimum(p_alone, q.unseen), np.minimum(q_alone, p.unseen)
    high = common + on_p + on_q + np.minimum(q.unseen - on_p, p.unseen - on_q)
    high = np.minimum(high, 1 - np.abs(p.own - q.own))
    low = np.minimum(common, high)
    return {**found, "gamma": (low + high) / 2, **dict(zip(BOUNDS, (low, high), strict=True))}


def _shared(p: Law, q: Law, row: int) -> tuple[float, float, float]:
    """Sum of min(p, q) over tokens that both list, and the most that it can be over those that only
    p, and only q, lists."""
    of_p, of_q = p.ids[row] >= 0, q.ids[row] >= 0
    ids_p, ids_q, mass_p, mass_q = (
        p.ids[row][of_p],
        q.ids[row][of_q],
        p.p[row][of_p],
        q.p[row][of_q],
    )
    _, in_p, in_q = np.intersect1d(ids_p, ids_q, assume_unique=True, return_indices=True)
    both = np.minimum(mass_p[in_p], mass_q[in_q]).sum()
    return (
        float(both),
        float(np.minimum(np.delete(mass_p, in_p), q.least[row]).sum()),
        float(np.minimum(np.delete(mass_q, in_q), p.least[row]).sum()),
    )
