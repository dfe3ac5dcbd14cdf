"""Block verification: a chain is accepted or cut as a whole, not token by token.

With P_0 = 1, P_i = min(1, P_{i-1} p(y_i)/q(y_i)) and S_i = sum_v (P_i p(v) - q(v))+ of the
distributions after y_1..y_i, the accepted length is the greatest i with u_i < h_i, where
h_i = S_i / (S_i + 1 - P_i), h_K = P_K and h_0 = 1; the token after it comes from
norm((P_i p - q)+), after the whole draft from p (Sun et al. 2403.10444, algorithm 2).

Given the text x, at least l tokens are accepted with probability
s_l = min_{m<=l} min(1, prod_{j<=m} q(x_j)/p(x_j)): the paper has P(accepted >= l | draft y) = P_l,
so that (accepted >= l, y_1..y_l = x_1..x_l) has probability P_l prod q, which is s_l prod p. It is
never below the product of min(1, q/p), of `sampling`. tests/rules/test_rules.py compares it to real
decoding.
"""

from typing import TYPE_CHECKING

import numpy as np

from hedgespec.rules.base import Statistics
from hedgespec.rules.draws import draw_residual, probability_of, ratio, row_at
from hedgespec.rules.sampling import ChainSampling
from hedgespec.traces import Trace

if TYPE_CHECKING:
    from torch import Tensor


class Block(ChainSampling):
    """Drafts as `sampling` does."""

    name = "block"
    help = "accept or cut the whole draft at once; never shorter than sampling"
    source = "Sun et al. 2403.10444"
    in_order = False

    def expected(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """gamma of `sampling`: products of it are below what `block` accepts."""
        shape = (*trace.gamma.shape[:1], draft_length, trace.gamma.shape[2])
        depth = np.minimum(np.arange(draft_length), trace.gamma.shape[1] - 1)
        return np.broadcast_to(trace.gamma[:, depth], shape)

    def realised(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """s_d / s_{d-1} of the round that started at t-d+1: all d accepted if d-1 were."""
        log_ratio = trace.log_q.astype(np.float64) - trace.log_p[:, None, None]
        tokens, deepest = len(log_ratio), log_ratio.shape[1] - 1
        realised = np.zeros((tokens, draft_length, log_ratio.shape[2]), dtype=np.float32)
        product = lowest = np.zeros_like(log_ratio[:, 0])  # of each start, logarithms
        for level in range(min(draft_length, tokens)):
            starts = tokens - level
            product = product[:starts] + log_ratio[level:, min(level, deepest)]
            now = np.minimum(lowest[:starts], product)
            with np.errstate(invalid="ignore"):  # -inf where nothing was accepted before
                change = np.exp(now - lowest[:starts])
            realised[level:, level] = np.where(np.isneginf(lowest[:starts]), 0.0, change)
            lowest = now
        return realised

    def verify(
        self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """As above; a draft token of q = 0 ends the draft before it."""
        import torch

        length = draft.shape[-1]
        ratios = ratio(probability_of(p[..., :-1, :], draft), probability_of(q[..., :-1, :], draft))
        kept = [torch.ones_like(p[..., 0, 0])]
        for place in range(length):
            kept.append((kept[-1] * ratios[..., place]).clamp(max=1))
        scale = torch.stack(kept, dim=-1)
        residual = scale[..., None] * p - q
        mass = residual.clamp(min=0).sum(-1)
        # 0/0 where P = 1 and p = q: then the next token is accepted if this one is.
        cut = torch.where(scale < 1, mass / (mass + 1 - scale), 1.0)
        cut[..., -1] = scale[..., -1]
        places = torch.arange(1, length + 1, device=draft.device)
        accepted = (
            (places * (noise[..., :-1, 1] < cut[..., 1:])).amax(-1)
            if length
            else (draft.new_zeros(draft.shape[:-1]))
        )
        return accepted, draw_residual(
            row_at(residual, accepted), row_at(p, accepted), row_at(noise, accepted)[..., 2]
        )


RULE = Block
