"""K-SEQ: k independent drafts at each position, all tried with the same probability.

A candidate y from q is accepted with probability min(1, p(y) / (rho q(y))); the first accepted one
counts. beta = sum_v min(q(v), p(v)/rho) is a trial's acceptance, and rho in [1, k] solves
1 - (1-beta)^k = rho beta (SpecTr, Sun et al. 2310.15141, algorithm 3), so that

    gamma = 1 - (1-beta)^k,  a = min(q(x)/p(x), 1/rho) gamma / beta,

and the target's token otherwise comes from norm(p - min(q, p/rho) gamma/beta), which is >= 0.
"""

from typing import TYPE_CHECKING

from hedgespec.rules.base import IndependentCandidates
from hedgespec.rules.draws import draw_residual, probability_of, ratio

if TYPE_CHECKING:
    from torch import Tensor

# Any rho from the root up is lossless, the root accepts most: near it is good enough.
_BISECTIONS = 16


class KSeq(IndependentCandidates):
    """With one candidate it is `sampling`."""

    name = "kseq"
    help = "k independent candidates at each position, all tried alike"
    source = "Sun et al. 2310.15141 (SpecTr)"

    def reduce(
        self, p: "Tensor", q: "Tensor", emitted: "Tensor", generator: object = None
    ) -> "dict[str, Tensor]":
        """gamma and a."""
        common, gamma, beta = self._trial(p.double(), q.double())[1:]
        a = probability_of(common, emitted) * ratio(gamma, beta) / probability_of(p, emitted)
        return {"gamma": gamma.clamp(0, 1).float(), "a": a.clamp(0, 1).float()}

    def accept(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """The first that passes."""
        rho = self._trial(p.double(), q.double())[0]
        passes = (
            noise[..., self.candidates : -1]
            < ratio(p.gather(-1, draft), q.gather(-1, draft)) / rho[..., None]
        )
        return passes.int().argmax(-1) + passes.any(-1).long() - 1

    def follow(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """From what the candidates left of p."""
        _, common, gamma, beta = self._trial(p.double(), q.double())
        return draw_residual(p - common * ratio(gamma, beta)[..., None], p.double(), noise[..., -1])

    def _trial(self, p: "Tensor", q: "Tensor") -> "tuple[Tensor, Tensor, Tensor, Tensor]":
        """rho (...), min(q, p/rho) (..., V), gamma (...) and beta (...), by bisection for rho."""
        low = p.new_ones(p.shape[:-1])
        high = low * self.candidates
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            beta = q.minimum(p / middle[..., None]).sum(-1)
            enough = middle * beta >= 1 - (1 - beta) ** self.candidates
            low, high = low.where(enough, middle), middle.where(enough, high)
        common = q.minimum(p / high[..., None])
        beta = common.sum(-1)
        return high, common, 1 - (1 - beta) ** self.candidates, beta


RULE = KSeq
