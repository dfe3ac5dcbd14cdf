"""What rounds take, from the costs measured with a trace."""

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.traces import Costs, Trace


def own_seconds(trace: Trace, draft_length: int) -> np.ndarray:
    """Seconds of a round of each drafter alone, shape (N,).

    Reading the round's verified tokens gives the first draft token's logits; K-1 steps and the
    target's pass over K+1 tokens follow. The target's pass is taken as measured for the trace's own
    draft length. Raises HedgespecError if the trace holds no costs.
    """
    costs = _costs(trace)
    return np.array([
        cost.evaluate + (draft_length - 1) * cost.step + costs.target.round
        for cost in (costs.drafters[name] for name in trace.manifest.drafter_names)
    ])


def evaluating_seconds(trace: Trace) -> np.ndarray:
    """Further seconds of a round of each drafter in which all others are evaluated, (N,)."""
    costs = _costs(trace)
    evaluate = np.array([costs.drafters[name].evaluate for name in trace.manifest.drafter_names])
    return evaluate.sum() - evaluate


def _costs(trace: Trace) -> Costs:
    if trace.manifest.costs is None:
        raise HedgespecError(
            f"trace {trace.name} holds no measured costs: record it with this version, without "
            "--no-costs")
    return trace.manifest.costs
