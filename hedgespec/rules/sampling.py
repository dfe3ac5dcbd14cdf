"""Speculative sampling: a draft token y is accepted with probability min(1, p(y)/q(y)).

Else the target's token comes from norm((p-q)+). The emitted text is distributed as the target's
own. Given that token x was emitted, the draft had been accepted with probability min(1, q(x)/p(x)).
"""

from typing import TYPE_CHECKING

import numpy as np

from hedgespec.rules.base import Rule, Statistics
from hedgespec.rules.draws import draw_residual, draw_token, probability_of, ratio
from hedgespec.traces import Trace

if TYPE_CHECKING:
    from torch import Tensor


class ChainSampling(Rule):
    """At temperature 0 it coincides with `greedy`."""

    name = "sampling"
    help = "accept a draft token with probability min(1, p/q)"
    source = "Leviathan et al. 2211.17192; Chen et al. 2302.01318"

    def expected(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """gamma = sum_v min(p(v), q(v))."""
        return trace.gamma

    def realised(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """a = min(1, q(x)/p(x)) of the emitted token x."""
        a: np.ndarray = np.exp(np.minimum(trace.log_q - trace.log_p[:, None, None], 0.0))
        return a

    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """One token from q."""
        return draw_token(q, noise[..., 0])[..., None]

    def accept(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """With probability min(1, p/q)."""
        token = draft[..., 0]
        accepted = noise[..., 1] < ratio(probability_of(p, token), probability_of(q, token))
        return accepted.long() - 1

    def follow(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """From norm((p-q)+)."""
        return draw_residual(p - q, p, noise[..., 2])


RULE = ChainSampling
