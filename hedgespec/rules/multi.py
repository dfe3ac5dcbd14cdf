"""Several independent drafts at each position, tried one after the other (with replacement).

Candidates y_1..y_k come from q. With p_1 = p, y_r is accepted with probability min(1, p_r/q), else
p_{r+1} = norm((p_r - q)+); after all, the target's token comes from p_{k+1} (SpecInfer,
Miao et al. 2305.09781; recursive rejection). With b_r = sum_v min(p_r(v), q(v)),

    gamma = 1 - prod_r (1 - b_r),  a = (1/p(x)) sum_r prod_{l<r} (1 - b_l) min(p_r(x), q(x)).
"""

from typing import TYPE_CHECKING

from hedgespec.rules.base import IndependentCandidates
from hedgespec.rules.draws import draw_residual, probability_of, ratio

if TYPE_CHECKING:
    from torch import Tensor


class Multi(IndependentCandidates):
    """With one candidate it is `sampling`."""

    name = "multi"
    help = "k independent candidates at each position, tried in turn"
    source = "Miao et al. 2305.09781 (SpecInfer)"

    def reduce(
        self, p: "Tensor", q: "Tensor", emitted: "Tensor", generator: object = None
    ) -> "dict[str, Tensor]":
        """gamma and a, candidate by candidate."""
        current, tried = p, p.new_ones(len(p))
        accepted = p.new_zeros(len(p))
        for _ in range(self.candidates):
            common = current.minimum(q)
            accepted = accepted + tried * probability_of(common, emitted)
            tried = tried * (1 - common.sum(-1)).clamp(0, 1)
            current = left_over(current, q)
        a = accepted / probability_of(p, emitted)
        return {"gamma": (1 - tried).clamp(0, 1), "a": a.clamp(0, 1)}

    def accept(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """The first that passes."""
        chosen = draft.new_full(draft.shape[:-1], -1)
        for number, (current, now) in enumerate(self._trials(p, q, draft)):
            if number < self.candidates:
                token = draft[..., number]
                passes = noise[..., self.candidates + number] < ratio(
                    probability_of(current, token), probability_of(now, token)
                )
                chosen = chosen.where((chosen >= 0) | ~passes, number)
        return chosen

    def follow(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """From what is left of p after all."""
        *_, (left, _) = self._trials(p, q, draft)
        return draw_residual(left, p, noise[..., -1])

    def _trials(self, p: "Tensor", q: "Tensor", draft: "Tensor") -> "list[tuple[Tensor, Tensor]]":
        """p_r and q_r for each candidate in turn, and after the last."""
        trials = [(p, q)]
        for number in range(self.candidates):
            current, now = trials[-1]
            trials.append((left_over(current, now), self.next_q(now, draft[..., number])))
        return trials

    def next_q(self, q: "Tensor", tried: "Tensor") -> "Tensor":
        """What the next candidate is from."""
        return q


def left_over(p: "Tensor", q: "Tensor") -> "Tensor":
    """norm((p-q)+), or p where it is 0 throughout: then no candidate gets that far."""
    import torch

    residual = (p - q).clamp(min=0)
    total = residual.sum(-1, keepdim=True)
    return torch.where(total > 0, residual / total, p)


RULE = Multi
