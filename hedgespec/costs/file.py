"""Costs in a file of their own, to replay traces under them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from hedgespec.bundled import bundled_costs
from hedgespec.command import command_to_pass_on
from hedgespec.costs.estimate import together_seconds
from hedgespec.errors import HedgespecError, TraceError, arg, did_you_mean
from hedgespec.files import parse_json, write_text
from hedgespec.traces.costs import Costs, DrafterCosts
from hedgespec.traces.drafted import COPYING
from hedgespec.traces.manifest import EARLY_EXIT, DrafterInfo, parse_costs
from hedgespec.traces.reader import Trace
from hedgespec.traces.schema import SYNTHETIC

BATCHED = ("eagle", "lm", EARLY_EXIT)  # kinds of drafters that are evaluated in one batch
MOST_DRIFT = 0.1  # share by which a machine may slow down or speed up while it is measured
# Share of a round, which reads one token at least, that a part's drift may be: a look-up on the host
# takes microseconds, and its moving by a tenth says nothing of the machine.
_MOST_OF_ROUND = 0.05


def save_costs(path: Path, costs: Costs) -> None:
    """Write costs as JSON."""
    write_text(path, json.dumps(asdict(costs), indent=1) + "\n")


def save_unfinished(path: Path, costs: Costs) -> None:
    """Write what was measured so far to `path`.unfinished, which `save_measured` removes."""
    save_costs(_beside(path, "unfinished"), costs)


def unfinished(path: Path) -> Costs | None:
    """What `save_unfinished` kept; None if there is nothing."""
    kept = _beside(path, "unfinished")
    return load_costs(kept) if kept.is_file() else None


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def save_measured(path: Path, costs: Costs) -> None:
    """Write costs that were just measured, with the command and the date.

    Raises HedgespecError for costs that cannot be true; they are then in `path`.refused.
    """
    made = f"{datetime.now(UTC):%Y-%m-%d}, {' '.join(command_to_pass_on())}"
    costs = replace(costs, made=made)
    try:
        refuse_untrue(costs)
    except HedgespecError as error:
        refused = _beside(path, "refused")
        save_costs(refused, costs)
        _beside(path, "unfinished").unlink(missing_ok=True)
        raise HedgespecError(f"{error}; what was measured is in {refused}") from error
    save_costs(path, costs)
    _beside(path, "unfinished").unlink(missing_ok=True)


def refuse_untrue(costs: Costs) -> None:
    """Raise HedgespecError if the machine drifted, or more tokens took less time."""
    for one in costs.measured:
        where = f"costs: batch {one.batch}, context {one.context}: "
        again = "the machine did not run evenly; measure again with nothing else running"
        for part, spread in one.spread.items():
            seconds = abs(spread.drift) * (spread.low + spread.high) / 2
            if abs(spread.drift) > MOST_DRIFT and seconds > _MOST_OF_ROUND * one.target.one:
                raise HedgespecError(
                    f"{where}the second half of the measurements of {part!r} took "
                    f"{1 + spread.drift:.2f} times the first: {again}"
                )
        widths = sorted(one.widths.items(), key=lambda item: int(item[0]))
        for (fewer, less), (more, seconds) in pairwise(widths):
            if seconds < (1 - MOST_DRIFT) * less:
                raise HedgespecError(
                    f"{where}the target took {less:.3g} s for {fewer} tokens and {seconds:.3g} s "
                    f"for {more}: {again}"
                )


def load_costs(path: Path) -> Costs:
    """Read costs. Raises HedgespecError if the file is missing or wrong, naming the field."""
    try:
        document = parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise HedgespecError(
            f"{arg('costs', path)}: not readable as JSON ({error})"
            + did_you_mean(str(path), bundled_costs())
        ) from error
    return parse_costs(document, path)


def with_costs(trace: Trace, costs: Costs) -> Trace:
    """The trace under other costs, of one condition; see `costs_for`."""
    own = costs_for(costs, trace.manifest.drafters, trace.manifest.target_layers)
    return replace(trace, manifest=replace(trace.manifest, costs=own))


def costs_for(costs: Costs, drafters: Sequence[DrafterInfo], layers: int | None = None) -> Costs:
    """Costs of other drafters than those measured, of a target with so many `layers`.

    One that has no costs by its name takes those of the first one of its kind, a made-up one those
    of the first one. One that copies from the text, if none was measured, takes no time. Evaluating
    those of BATCHED together takes as long as so many did where that was measured, and each other
    one its own time beside them; else as long as it does for those measured, in proportion to their
    number. An early exit, if none was measured, takes its share of the target's pass; `engine` says
    that this is estimated. Raises TraceError for a drafter of another kind that was not measured.
    """
    exits = {
        info.name: share
        for info in drafters
        if not _measured(costs, info) and (share := _share(info, layers))
    }
    own = {
        info.name: _exit_costs(costs, exits[info.name])
        if info.name in exits
        else _costs_of(costs, info)
        for info in drafters
    }
    if own.keys() == costs.drafters.keys():  # in whatever order
        return replace(costs, drafters=own, conditions=[])
    together, measured = costs.evaluate_all, dict(costs.evaluate_together)
    if measured:
        kinds = {one.kind for one in costs.drafters.values()}
        if together is not None and kinds <= {"", *BATCHED}:  # so many are known in a batch
            measured.setdefault(str(len(costs.drafters)), together)
        in_batch = [info.kind in BATCHED and info.name not in exits for info in drafters]
        batched = sum(in_batch)
        together = float(together_seconds(costs, np.array(batched))) + sum(
            own[info.name].evaluate for info, one in zip(drafters, in_batch, strict=True) if not one
        )
    elif together is not None:
        together *= (len(drafters) - len(exits)) / len(costs.drafters)
    share = (together or 0.0) / (costs.evaluate_all or 1.0)
    whose = "its" if len(exits) == 1 else "their"
    estimated = (
        [f"{', '.join(exits)}: estimated from {whose} share of the target's layers"]
        if exits
        else []
    )
    return replace(
        costs,
        drafters=own,
        evaluate_all=together,
        evaluate_together=measured,
        reads={count: share * seconds for count, seconds in costs.reads.items()},
        engine="; ".join([*filter(None, [costs.engine]), *estimated]),
        conditions=[],
    )


def _share(drafter: DrafterInfo, layers: int | None) -> float | None:
    """The share of the target's layers that an early exit runs; None where that is not known."""
    layer = drafter.exit_layer
    return layer / layers if layer is not None and layers is not None and layer < layers else None


def _exit_costs(costs: Costs, share: float) -> DrafterCosts:
    """Of an early exit: a pass over one token for each drafted one, and nothing for evaluation,
    whose states the target's pass has left."""
    step = share * costs.target.one
    return DrafterCosts(step, costs.draft_length * step, 0.0, begin=step, kind=EARLY_EXIT)


def _measured(costs: Costs, drafter: DrafterInfo) -> DrafterCosts | None:
    """What was measured of one drafter: by its name, or else by its kind."""
    named = costs.drafters.get(drafter.name)
    if named is not None and named.kind in ("", drafter.kind):
        return named
    return next(
        (one for one in costs.drafters.values() if drafter.kind in (one.kind, SYNTHETIC)), None
    )


def _costs_of(costs: Costs, drafter: DrafterInfo) -> DrafterCosts:
    if (found := _measured(costs, drafter)) is not None:
        return found
    if drafter.kind in COPYING:
        return DrafterCosts(0.0, 0.0, 0.0, kind=drafter.kind)
    kinds = sorted({one.kind or "unknown" for one in costs.drafters.values()}) or ["none"]
    raise TraceError(
        f"the costs are of drafters of kind {', '.join(kinds)}; {drafter.name} is of kind "
        f"{drafter.kind}: measure one too, or leave it out (--arms, or `hedgespec subset`)"
    )
