"""What rounds take, from measured costs."""

from collections.abc import Sequence

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.traces import Costs, Trace


def round_seconds(
    costs: Costs, drafters: Sequence[str | None], lengths: np.ndarray, drafted: np.ndarray
) -> np.ndarray:
    """Seconds of a round of each arm alone, shape (..., N).

    `drafters` (N) are the arms' drafters by name, None where nothing is drafted, `lengths` (N)
    their draft lengths K, `drafted` (..., N) the draft tokens that the target's pass covers besides
    its own: K, fewer where the drafter has no more to propose, or all nodes of a tree of K levels.
    Reading the round's verified tokens gives the first draft token's logits. A step follows for
    each of K-1 further tokens, the last of them in vain where a draft ends early. Then comes the
    target's pass; the overhead is in every round.
    """
    step = np.array([0.0 if name is None else costs.drafters[name].step for name in drafters])
    seconds: np.ndarray = (alone_seconds(costs, drafters)
                           + np.minimum(drafted, np.maximum(lengths - 1, 0)) * step
                           + target_seconds(costs, drafted + 1) + costs.overhead)
    return seconds


def undrafted_seconds(costs: Costs) -> float:
    """Seconds of a round in which nothing is drafted: the target's pass over one token."""
    return float(round_seconds(costs, [None], np.zeros(1), np.zeros(1))[0])


def target_seconds(costs: Costs, tokens: np.ndarray) -> np.ndarray:
    """Seconds of the target's pass over `tokens`, of any shape.

    Linear between the numbers of tokens that were measured, and beyond the last two of them.
    """
    known = {1: costs.target.one, costs.draft_length + 1: costs.target.round}
    known |= {int(width): seconds for width, seconds in costs.widths.items()}
    widths = np.array(sorted(known), dtype=float)
    seconds = np.array([known[int(width)] for width in widths])
    slope = (seconds[-1] - seconds[-2]) / (widths[-1] - widths[-2])
    found: np.ndarray = (np.interp(tokens, widths, seconds)
                         + slope * np.maximum(tokens - widths[-1], 0))
    return found


def evaluating_seconds(costs: Costs, drafters: Sequence[str | None]) -> np.ndarray:
    """Further seconds of a round of each arm in which the other arms' drafters are evaluated, (N,).

    `drafters` (N) as in `round_seconds`; see `set_seconds`.
    """
    others: np.ndarray = (set_seconds(costs, [name for name in costs.drafters if name in drafters])
                          - alone_seconds(costs, drafters))
    return others


def set_seconds(costs: Costs, drafters: Sequence[str]) -> float:
    """Seconds of evaluating some drafters, no name twice: in one batch or one by one."""
    together = together_seconds(costs, len(drafters))[-1]
    return float(min(alone_seconds(costs, drafters).sum(), together))


def together_seconds(costs: Costs, most: int) -> np.ndarray:
    """Seconds of evaluating 0 .. `most` drafters in one batch, (most+1); infinite if not known.

    Those of any number are taken to be those of all, which is as long as they can take.
    """
    seconds = np.full(most + 1, np.inf if costs.evaluate_all is None else costs.evaluate_all)
    seconds[0] = 0.0
    return seconds


def alone_seconds(costs: Costs, drafters: Sequence[str | None]) -> np.ndarray:
    """Seconds of evaluating each drafter (N) alone, 0 for None."""
    return np.array([0.0 if name is None else costs.drafters[name].evaluate for name in drafters])


def costs_of(trace: Trace) -> Costs:
    """The costs of a trace. Raises HedgespecError if it holds none."""
    if trace.manifest.costs is None:
        raise HedgespecError(
            f"trace {trace.name} holds no measured costs: record it with this version, without "
            f"{arg('costs', False)}")
    return trace.manifest.costs
