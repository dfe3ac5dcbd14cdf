"""One-hot drafts: the drafter proposes its argmax for sure, whatever its q.

The target draws its token x from p; the draft is accepted iff it is x. This is speculative
sampling with q put on its argmax: the rule of prompt lookup, and vLLM's default for any drafter.
"""

from typing import TYPE_CHECKING

import numpy as np

from hedgespec.rules.base import Rule, Statistics
from hedgespec.rules.draws import sample
from hedgespec.traces import Trace

if TYPE_CHECKING:
    from torch import Tensor


class OneHot(Rule):
    """Also the step of any rule that fixes the candidates before the target draws."""

    name = "onehot"
    help = "propose the drafter's argmax, accept it if the target draws it"
    source = "Leviathan et al. 2211.17192 with q on its argmax"

    def expected(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """gamma = p(argmax q)."""
        return trace.p_top

    def realised(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """a: 1 where argmax q was emitted, else 0."""
        return trace.match.astype(np.float32)

    def width(self, vocabulary: int) -> int:
        """The target's draw."""
        return 1

    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """The argmax."""
        return q.argmax(-1, keepdim=True)

    def accept(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """The candidate that the target draws."""
        same = (draft == sample(p, noise[..., 0])[..., None]) & (q.gather(-1, draft) > 0)
        return same.int().argmax(-1) + same.any(-1).long() - 1

    def follow(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """What the target draws."""
        return sample(p, noise[..., 0])


RULE = OneHot
