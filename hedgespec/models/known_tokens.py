"""Distributions over the tokens that a drafter knows, a small part of the target's vocabulary.

`known` are the target's tokens (M, v) of M drafters, ascending, or (1, v) of all of them alike; or
(M, n, v) of each of n positions, ascending, behind which numbers of probability 0 stand for none.
What a drafter does not know has probability 0: sums, maxima and draws over the v tokens are those
over all V, and draws by the order of tokens give the same token.
"""

import torch

from hedgespec.rules import Rule


def spread(q: torch.Tensor, known: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Distributions (M, n, V) of those over known tokens, (M, n, v)."""
    whole = q.new_zeros(*q.shape[:2], vocabulary)
    index = known if known.dim() == 3 else known[:, None]
    return whole.scatter_add_(-1, index.expand(q.shape), q)


def draw_draft(
    rule: Rule, q: torch.Tensor, noise: torch.Tensor, known: torch.Tensor | None, vocabulary: int
) -> torch.Tensor:
    """The rule's first candidate (n), a token of the target, from q (n, v) of one drafter and noise
    (n, W). Of a row of zeros, no proposal, it is some token of q = 0, which is always rejected."""
    if known is None:
        return rule.draft(q, noise)[:, 0]
    if rule.by_order:
        return known[0].index_select(0, rule.draft(q, noise)[:, 0])
    return rule.draft(spread(q[None], known, vocabulary)[0], noise)[:, 0]


def reduce_known(
    p: torch.Tensor, q: torch.Tensor, emitted: torch.Tensor, known: torch.Tensor
) -> dict[str, torch.Tensor]:
    """`reduce_pair` (M, n) of p (n, V) and the q (M, n, v) of M drafters on emitted tokens (n)."""
    if known.dim() == 3:
        return _reduce_listed(p, q, emitted, known)
    members = len(q)
    highest, top = q.max(dim=-1)
    proposes = highest > 0
    tops = known.expand(members, -1).gather(1, top)
    wanted = emitted.expand(len(known), -1).contiguous()
    number = torch.searchsorted(known, wanted).clamp(max=known.shape[-1] - 1)
    is_known = known.gather(1, number) == emitted
    q_emitted = q.gather(-1, number.expand(members, -1)[..., None])[..., 0] * is_known
    p_known = p.index_select(1, known.flatten()).unflatten(1, known.shape).transpose(0, 1)
    return {
        "log_q": q_emitted.log(),
        "gamma": torch.minimum(p_known, q).sum(dim=-1).clamp(0, 1),
        "match": (tops == emitted) & proposes,
        "p_top": p.gather(1, tops.T).T * proposes,
    }


def _reduce_listed(
    p: torch.Tensor, q: torch.Tensor, emitted: torch.Tensor, known: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The same of tokens (M, n, v) that are each position's own."""
    highest, top = q.max(dim=-1, keepdim=True)
    proposes = (highest > 0)[..., 0]
    p_known = p.expand(len(q), -1, -1).gather(-1, known)
    return {
        "log_q": (q * (known == emitted[:, None])).sum(dim=-1).log(),
        "gamma": torch.minimum(p_known, q).sum(dim=-1).clamp(0, 1),
        "match": (known.gather(-1, top)[..., 0] == emitted) & proposes,
        "p_top": p_known.gather(-1, top)[..., 0] * proposes,
    }
