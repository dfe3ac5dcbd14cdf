"""What rounds take, from measured costs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.selectors.feedback import ArmSeconds
from hedgespec.traces import Costs, Trace
from hedgespec.traces.costs import (
    EVALUATE_ALL,
    begin_part,
    draft_part,
    evaluate_part,
    read_part,
    step_part,
    target_part,
    together_part,
)


def round_seconds(
    costs: Costs, drafters: Sequence[str | None], lengths: np.ndarray, drafted: np.ndarray
) -> np.ndarray:
    """Seconds of a round of each arm alone, shape (..., N).

    `drafters` (N) are the arms' drafters by name, None where nothing is drafted, `lengths` (N)
    their draft lengths K, `drafted` (..., N) the draft tokens that the target's pass covers besides
    its own: K, fewer where the drafter has no more to propose, or all nodes of a tree of K levels.
    What the drafter begins with gives the first draft token's logits: the reading of the round's
    verified tokens, or what takes the seconds `begin`. A step follows for each of K-1 further
    tokens, the last of them in vain where a draft ends early. Then comes the target's pass; the
    overhead is in every round.
    """
    seconds: np.ndarray = (
        _begin_seconds(costs, drafters)
        + _step_seconds(costs, drafters, lengths, drafted)
        + target_seconds(costs, drafted + 1)
        + costs.overhead
    )
    return seconds


def drafting_seconds(
    costs: Costs, drafters: Sequence[str | None], lengths: np.ndarray, drafted: np.ndarray
) -> np.ndarray:
    """Of `round_seconds` those of drafting: its steps, and `begin`, but no reading."""
    begin = np.where(reads_first(costs, drafters), 0.0, _begin_seconds(costs, drafters))
    seconds: np.ndarray = begin + _step_seconds(costs, drafters, lengths, drafted)
    return seconds


def undrafted_seconds(costs: Costs) -> float:
    """Seconds of a round in which nothing is drafted: the target's pass over one token."""
    return float(round_seconds(costs, [None], np.zeros(1), np.zeros(1))[0])


def target_seconds(costs: Costs, tokens: np.ndarray) -> np.ndarray:
    """Seconds of the target's pass over `tokens`, of any shape, of each text.

    Linear between the numbers of tokens that were measured, and beyond the last two of them.
    """
    known = {1: costs.target.one, costs.draft_length + 1: costs.target.round}
    known |= {int(width): seconds for width, seconds in costs.widths.items()}
    return _line(known, tokens)


def evaluate_seconds(
    costs: Costs, drafters: Sequence[str | None], count: np.ndarray | float | None = None
) -> np.ndarray:
    """Seconds of evaluating a set of drafters together on a round's tokens.

    One by one, or in one batch where that was measured, whichever takes less. With `count` (any
    shape) of evaluating so many of the drafters, whichever they are: one by one they then take
    their mean. The result has the shape of `count`. Nobody takes no time.
    """
    each = alone_seconds(costs, [name for name in dict.fromkeys(drafters) if name is not None])
    counts = np.asarray(len(each) if count is None else count, dtype=float)
    one_by_one = counts * (each.mean() if len(each) else 0.0)
    found: np.ndarray = np.minimum(one_by_one, together_seconds(costs, counts))
    return found


def together_seconds(costs: Costs, counts: np.ndarray) -> np.ndarray:
    """Seconds of evaluating some numbers of drafters in one batch; infinite if not measured.

    Linear between the numbers that were measured; fewer than the least take as long as that, and
    more than the most in proportion.
    """
    known = {int(count): seconds for count, seconds in costs.evaluate_together.items()}
    if costs.evaluate_all is not None:
        known.setdefault(len(costs.drafters), costs.evaluate_all)
    if not known:
        return np.full(counts.shape, np.inf)
    most = max(known)
    found: np.ndarray = _line(known, np.minimum(counts, most)) * np.maximum(counts / most, 1)
    return found


def evaluating_seconds(costs: Costs, drafters: Sequence[str | None]) -> np.ndarray:
    """Further seconds of a round of each arm in which all arms' drafters are evaluated, (N,).

    `drafters` (N) as in `round_seconds`, which counts the arm's own where it `reads_first`. The
    overhead of evaluating is in it where anybody is evaluated.
    """
    in_round = reads_first(costs, drafters) * alone_seconds(costs, drafters)
    overhead = costs.evaluation_overhead * any(name is not None for name in drafters)
    further: np.ndarray = evaluate_seconds(costs, drafters) - in_round + overhead
    return further


def arm_seconds(
    costs: Costs, drafters: Sequence[str | None], owner: np.ndarray, first: np.ndarray, tokens: int
) -> ArmSeconds:
    """What `reading` of a text of `tokens` adds to rounds, and no other seconds.

    `drafters` (N) as in `round_seconds`; `owner` and `first` (N) are those of `Arms`. The overhead
    is that of evaluating all.
    """
    counts = np.arange(tokens + 1)
    return ArmSeconds(
        np.stack([owner, first, reads_first(costs, drafters)]),
        np.zeros(len(drafters)),
        reading_seconds(costs, drafters, counts),
        reading_together_seconds(costs, int(first.sum()), counts),
        costs.evaluation_overhead,
    )


def reads_first(costs: Costs, drafters: Sequence[str | None]) -> np.ndarray:
    """Whether a round of each drafter (N) holds the reading of a round's tokens, `evaluate`."""
    return np.array([name is not None and costs.drafters[name].begin is None for name in drafters])


def has_reads(costs: Costs) -> bool:
    """Whether evaluation was measured on other numbers of tokens than a round's."""
    return any(one.reads for one in costs.drafters.values())


def reading_together_seconds(costs: Costs, count: int, tokens: np.ndarray) -> np.ndarray:
    """Seconds of evaluating `count` drafters in one batch on some numbers of tokens (n), (n), as
    `reading_seconds`; infinite if not measured. Another number of drafters than was measured takes
    as many times longer for more tokens.
    """
    longer, of_all = np.ones(len(tokens)), costs.evaluate_all
    if of_all:  # none, or no time at all, as of early exits alone
        longer = _reading(costs, of_all, costs.reads, tokens) / of_all
    found: np.ndarray = longer * together_seconds(costs, np.array(count))
    return found


def reading_seconds(costs: Costs, drafters: Sequence[str | None], tokens: np.ndarray) -> np.ndarray:
    """Seconds of evaluating each drafter (N) alone on some numbers of tokens (n), (n, N).

    0 for None. Up to a round's K+1 tokens take as long as these. Between the numbers that were
    measured they are linear; more than the most are read in passes of so many, and the rest. Where
    no other number was measured, any takes as long as a round's.
    """
    seconds = np.zeros((len(tokens), len(drafters)))
    for arm, name in enumerate(drafters):
        if name is not None:
            one = costs.drafters[name]
            seconds[:, arm] = _reading(costs, one.evaluate, one.reads, tokens)
    return seconds


def _reading(
    costs: Costs, of_round: float, reads: Mapping[str, float], tokens: np.ndarray
) -> np.ndarray:
    known = {costs.draft_length + 1: of_round} | {int(count): one for count, one in reads.items()}
    if not reads:
        return np.full(len(tokens), of_round)
    most = max(known)
    passes, rest = np.divmod(np.maximum(tokens, costs.draft_length + 1), most)
    last = np.where(rest > 0, _line(known, np.maximum(rest, costs.draft_length + 1)), 0.0)
    found: np.ndarray = passes * known[most] + last
    return found


def alone_seconds(costs: Costs, drafters: Sequence[str | None]) -> np.ndarray:
    """Seconds of evaluating each drafter (N) alone on a round's tokens, 0 for None."""
    return np.array([0.0 if name is None else costs.drafters[name].evaluate for name in drafters])


def _step_seconds(
    costs: Costs, drafters: Sequence[str | None], lengths: np.ndarray, drafted: np.ndarray
) -> np.ndarray:
    """Seconds of the steps of a round of each arm, (..., N); see `round_seconds`."""
    step = np.array([0.0 if name is None else costs.drafters[name].step for name in drafters])
    seconds: np.ndarray = np.minimum(drafted, np.maximum(lengths - 1, 0)) * step
    return seconds


def _begin_seconds(costs: Costs, drafters: Sequence[str | None]) -> np.ndarray:
    """Seconds of each drafter (N) up to the first logits of a draft, 0 for None."""
    known = [None if name is None else costs.drafters[name] for name in drafters]
    return np.array(
        [0.0 if one is None else one.evaluate if one.begin is None else one.begin for one in known]
    )


def of_drafters(costs: Costs, names: Sequence[str]) -> Costs:
    """The costs of some drafters without the others': what a pool of them is charged by `costs`.

    How long all of them take in one batch is estimated, see `together_seconds`, with the ends of
    its spread.
    """
    conditions = [of_drafters(one, names) for one in costs.conditions]
    kept, low, high = (
        _of_drafters(one, names) for one in (costs, *map(costs.end, ("low", "high")))
    )
    spread = {part: one for part, one in costs.spread.items() if part in _parts(kept)}
    ends = {read_part(width): (low.reads[width], high.reads[width]) for width in kept.reads}
    if low.evaluate_all is not None and high.evaluate_all is not None:
        ends[EVALUATE_ALL] = low.evaluate_all, high.evaluate_all
    spread |= {
        part: replace(costs.spread[part], low=begin, high=end)
        for part, (begin, end) in ends.items()
        if part in costs.spread
    }
    return replace(kept, spread=spread, conditions=conditions)


def _of_drafters(costs: Costs, names: Sequence[str]) -> Costs:
    together = float(together_seconds(costs, np.array(len(names))))
    share = together / costs.evaluate_all if costs.evaluate_all else 1.0
    return replace(
        costs,
        drafters={name: costs.drafters[name] for name in names},
        evaluate_all=together if np.isfinite(together) else None,
        evaluate_together={
            count: seconds
            for count, seconds in costs.evaluate_together.items()
            if int(count) < len(names)
        },
        reads={width: share * seconds for width, seconds in costs.reads.items()},
    )


def _parts(costs: Costs) -> set[str]:
    """Names of the parts that are of the target, of a drafter or of some drafters in one batch."""
    found = {target_part(width) for width in (1, costs.draft_length + 1)}
    found |= {target_part(width) for width in costs.widths}
    found |= {together_part(count) for count in costs.evaluate_together}
    for name, one in costs.drafters.items():
        found |= {of(name) for of in (step_part, draft_part, evaluate_part, begin_part)}
        found |= {read_part(width, name) for width in one.reads}
    return found


def costs_of(trace: Trace) -> Costs:
    """The costs of a trace. Raises HedgespecError if it holds none."""
    if trace.manifest.costs is None:
        raise HedgespecError(
            f"trace {trace.name} holds no measured costs: record it with this version, without "
            f"{arg('costs', False)}"
        )
    return trace.manifest.costs


def _line(known: Mapping[int, float], places: np.ndarray) -> np.ndarray:
    """Values at `places`, linear between those known and beyond the last two of them, where they
    do not fall: that more takes less is an error of measuring."""
    at = np.array(sorted(known), dtype=float)
    values = np.array([known[int(place)] for place in at])
    slope = max(0.0, (values[-1] - values[-2]) / (at[-1] - at[-2])) if len(at) > 1 else 0.0
    found: np.ndarray = np.interp(places, at, values) + slope * np.maximum(places - at[-1], 0)
    return found
