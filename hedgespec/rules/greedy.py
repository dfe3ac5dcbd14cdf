"""Greedy verification: at temperature 0 a draft token is accepted iff it is the target's argmax."""

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.rules.base import Statistics
from hedgespec.rules.sampling import ChainSampling
from hedgespec.traces import Trace


class Greedy(ChainSampling):
    """Real decoding is that of `sampling`, p and q being one-hot."""

    name = "greedy"
    help = "at temperature 0: accept the target's argmax"
    source = "Leviathan et al. 2211.17192, section 2.3"

    def check(self, trace: Trace) -> None:
        """Raises HedgespecError unless the target wrote greedily."""
        temperature = trace.manifest.sampling.temperature
        if temperature != 0:
            raise HedgespecError(
                f"trace {trace.name}: rule greedy needs text written at temperature 0, this one "
                f"was sampled at {temperature:g}; use {arg('rule', 'sampling')}"
            )

    def expected(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """gamma: 1 where the drafter's argmax is the emitted token, else 0."""
        return self.realised(trace, draft_length)

    def realised(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """The same: nothing is random."""
        return trace.match.astype(np.float32)


RULE = Greedy
