"""Gumbel coupling: target and drafter draw with the same exponential clocks.

E_v are independent Exp(1) for every token; the target emits argmin E_v/p(v), the drafter proposes
argmin E_v/q(v), and the draft is accepted iff they are equal. What the target emits does not depend
on the drafter at all (Daliri, Musco & Suresh 2408.07978). They are equal at v if E_v is below
E_u min(p(v)/p(u), q(v)/q(u)) of all u, which has probability 1/W_v with

    W_v = sum_u max(p(u)/p(v), q(u)/q(v)),  gamma = sum_v 1/W_v,  a = 1 / (W_x p(x)).

With tokens in order of p/q the sum is one of p over those after v and one of q over those before.
"""

from typing import TYPE_CHECKING

import numpy as np

from hedgespec.rules.base import Rule
from hedgespec.traces import Trace

if TYPE_CHECKING:
    from torch import Tensor


class Gumbel(Rule):
    """The text is a function of the random numbers alone, whatever drafter and selector."""

    name = "gumbel"
    help = "target and drafter draw with the same random numbers; accept if they agree"
    source = "Daliri, Musco & Suresh 2408.07978"
    recorded = ("gamma", "a")
    shared_noise = True
    by_order = False

    def bounds(self, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
        """(1-TV)/(1+TV) and 1-TV; 1-TV is gamma of `sampling`."""
        return trace.gamma / (2 - trace.gamma), trace.gamma

    def reduce(
        self, p: "Tensor", q: "Tensor", emitted: "Tensor", generator: object = None
    ) -> "dict[str, Tensor]":
        """gamma and a, by sorting."""
        import torch

        p, q = p.double(), q.double()
        both = (p > 0) & (q > 0)
        order = torch.where(both, p / q, torch.where(q > 0, -1.0, torch.inf)).argsort(-1)
        p_sorted, q_sorted = p.gather(-1, order), q.gather(-1, order)
        after = p_sorted.flip(-1).cumsum(-1).flip(-1)
        before = q_sorted.cumsum(-1) - q_sorted
        waiting = after * q_sorted + before * p_sorted  # W_v p(v) q(v)
        joint = torch.where(both.gather(-1, order), p_sorted * q_sorted / waiting, 0.0)
        at_emitted = (joint * (order == emitted[:, None])).sum(-1)
        a = at_emitted / p.gather(-1, emitted[:, None])[:, 0]
        return {"gamma": joint.sum(-1).clamp(0, 1).float(), "a": a.clamp(0, 1).float()}

    def width(self, vocabulary: int) -> int:
        """A clock for every token."""
        return vocabulary

    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """argmin E/q."""
        return _earliest(q, noise)[..., None]

    def accept(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """If it is argmin E/p."""
        same = (draft[..., 0] == _earliest(p, noise)) & (q.gather(-1, draft)[..., 0] > 0)
        return same.long() - 1

    def follow(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """argmin E/p."""
        return _earliest(p, noise)


def _earliest(distribution: "Tensor", u: "Tensor") -> "Tensor":
    """argmin of E/distribution, E = -log(1-u)."""
    clocks = (-(-u.double()).log1p()).clamp(min=1e-300)
    return (distribution.double() / clocks).argmax(-1)


RULE = Gumbel
