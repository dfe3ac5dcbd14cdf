"""What rounds take, from measured costs."""

from collections.abc import Sequence

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.traces import Costs, Trace


def own_seconds(
    costs: Costs, drafters: Sequence[str], lengths: np.ndarray, verified: np.ndarray
) -> np.ndarray:
    """Seconds of a round of each arm alone, shape (N,).

    `drafters` (N) are the arms' drafters by name, `lengths` (N) their draft lengths K, `verified`
    (N) the draft tokens that the target's pass covers besides its own: K, or all nodes of a tree of
    K levels. Reading the round's verified tokens gives the first draft token's logits; K-1 steps
    and the target's pass follow, which is taken to be linear in the tokens, through the two numbers
    that were measured; the overhead is in every round.
    """
    step = np.array([costs.drafters[name].step for name in drafters])
    slope = (costs.target.round - costs.target.one) / costs.draft_length
    seconds: np.ndarray = (_evaluate(costs, drafters) + (lengths - 1) * step
                           + costs.target.one + slope * verified + costs.overhead)
    return seconds


def evaluating_seconds(costs: Costs, drafters: Sequence[str]) -> np.ndarray:
    """Further seconds of a round of each arm in which the other arms' drafters are evaluated, (N,).

    `drafters` (N) as in `own_seconds`. In one batch, where that of all drafters was measured, it
    takes no longer than one by one.
    """
    together = _evaluate(costs, [name for name in costs.drafters if name in drafters]).sum()
    if costs.evaluate_all is not None:
        together = min(together, costs.evaluate_all)
    others: np.ndarray = together - _evaluate(costs, drafters)
    return others


def costs_of(trace: Trace) -> Costs:
    """The costs of a trace. Raises HedgespecError if it holds none."""
    if trace.manifest.costs is None:
        raise HedgespecError(
            f"trace {trace.name} holds no measured costs: record it with this version, without "
            f"{arg('costs', False)}")
    return trace.manifest.costs


def _evaluate(costs: Costs, drafters: Sequence[str]) -> np.ndarray:
    return np.array([costs.drafters[name].evaluate for name in drafters])
