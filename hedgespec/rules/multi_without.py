"""Several drafts at each position without replacement: a tried token is not proposed again.

As `multi`, but the tried token is struck out of q and q renormed before the next candidate. With
which probability candidate r is accepted depends on the tokens tried before, so gamma and a are
means over these, without a closed form; they are estimated while a trace is recorded, from some
histories of rejected candidates at each position. Any history gives

    sum_r prod_{l<r} (1 - b_l) min(p_r(x), q_r(x)) <= p(x),

so an estimate lies in [0, 1]. It is unbiased, with noise that is independent between positions: a
replay, which uses a position once, has the law of real decoding. The first candidate is exact.
"""

from typing import TYPE_CHECKING

from hedgespec.rules.draws import draw_token, probability_of
from hedgespec.rules.multi import Multi, left_over

if TYPE_CHECKING:
    from torch import Tensor

HISTORIES = 8


class MultiWithout(Multi):
    """With one candidate it is `sampling`."""

    name = "multi-without"
    help = "the same without replacement: k different candidates"
    source = "Miao et al. 2305.09781; Jeon et al. 2402.14160 (recursive rejection, no repeats)"

    def reduce(
        self, p: "Tensor", q: "Tensor", emitted: "Tensor", generator: object = None
    ) -> "dict[str, Tensor]":
        """Estimates of gamma and a from HISTORIES rejected histories, stratified in their first."""
        gamma = a = p.new_zeros(len(p))
        histories = HISTORIES if self.candidates > 1 else 1
        for history in range(histories):
            current, now, tried = p, q, p.new_ones(len(p))
            accepted = p.new_zeros(len(p))
            for number in range(self.candidates):
                common = current.minimum(now)
                accepted = accepted + tried * probability_of(common, emitted)
                tried = tried * (1 - common.sum(-1)).clamp(0, 1)
                if number + 1 < self.candidates:
                    u = p.new_empty(len(p)).uniform_(generator=generator)
                    if number == 0:
                        u = (history + u) / histories
                    rejected = draw_token((now - current).clamp(min=0), u)
                    current, now = left_over(current, now), self.next_q(now, rejected)
            gamma = gamma + (1 - tried)
            a = a + accepted / probability_of(p, emitted)
        return {"gamma": (gamma / histories).clamp(0, 1), "a": (a / histories).clamp(0, 1)}

    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """k different tokens, one after the other; of q = 0 where q has no more."""
        import torch

        tokens = []
        for number in range(self.candidates):
            tokens.append(draw_token(q, noise[..., number]))
            q = self.next_q(q, tokens[-1])
        return torch.stack(tokens, dim=-1)

    def next_q(self, q: "Tensor", tried: "Tensor") -> "Tensor":
        """q without the tried token, renormed; 0 where nothing is left."""
        left = q.scatter(-1, tried[..., None], 0.0)
        return left / left.sum(-1, keepdim=True).clamp(min=1e-30)


RULE = MultiWithout
