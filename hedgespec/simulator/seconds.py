"""What rounds take, from the costs measured with a trace."""

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.simulator.arms import Arms
from hedgespec.traces import Costs, Trace


def own_seconds(trace: Trace, arms: Arms) -> np.ndarray:
    """Seconds of a round of each arm alone, shape (N,).

    Reading the round's verified tokens gives the first draft token's logits; K-1 steps and the
    target's pass over K+1 tokens follow, K being the arm's draft length; over all nodes, for a tree
    of K levels. The target's pass is taken to be linear in the tokens, through the two numbers that
    were measured; the overhead is in every round. Raises HedgespecError if the trace holds no
    costs.
    """
    costs = _costs(trace)
    step, evaluate = (np.array([getattr(costs.drafters[name], part)
                                for name in trace.manifest.drafter_names])[arms.drafters]
                      for part in ("step", "evaluate"))
    slope = (costs.target.round - costs.target.one) / costs.draft_length
    seconds: np.ndarray = (evaluate + (arms.lengths - 1) * step
                           + costs.target.one + slope * arms.drafted(trace) + costs.overhead)
    return seconds


def evaluating_seconds(trace: Trace, arms: Arms) -> np.ndarray:
    """Further seconds of a round of each arm in which the other arms' drafters are evaluated, (N,).

    In one batch, where that of all drafters was measured, it takes no longer than one by one.
    """
    costs = _costs(trace)
    evaluate = np.array([costs.drafters[name].evaluate for name in trace.manifest.drafter_names])
    together = evaluate[np.unique(arms.drafters)].sum()
    if costs.evaluate_all is not None:
        together = min(together, costs.evaluate_all)
    others: np.ndarray = together - evaluate[arms.drafters]
    return others


def cost_basis(costs: Costs | None) -> dict[str, str] | None:
    """Whose seconds they are: device, dtype, and how all drafters' evaluation is counted."""
    if costs is None:
        return None
    evaluation = "one by one" if costs.evaluate_all is None else "in one batch"
    return {"device": costs.device, "dtype": costs.dtype, "evaluation": evaluation}


def _costs(trace: Trace) -> Costs:
    if trace.manifest.costs is None:
        raise HedgespecError(
            f"trace {trace.name} holds no measured costs: record it with this version, without "
            "--no-costs")
    return trace.manifest.costs
