"""Costs in a file of their own, to replay traces under them."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from hedgespec.bundled import bundled_costs
from hedgespec.command import command_to_pass_on
from hedgespec.errors import HedgespecError, TraceError, arg, did_you_mean
from hedgespec.files import parse_json, write_text
from hedgespec.traces.manifest import Costs, parse_costs
from hedgespec.traces.reader import Trace

MOST_DRIFT = 0.1  # share by which a machine may slow down or speed up while it is measured


def save_costs(path: Path, costs: Costs) -> None:
    """Write costs as JSON."""
    write_text(path, json.dumps(asdict(costs), indent=1) + "\n")


def save_measured(path: Path, costs: Costs) -> None:
    """Write costs that were just measured, with the command and the date.

    Raises HedgespecError for costs that cannot be true.
    """
    refuse_untrue(costs)
    made = f"{datetime.now(UTC):%Y-%m-%d}, {' '.join(command_to_pass_on())}"
    save_costs(path, replace(costs, made=made))


def refuse_untrue(costs: Costs) -> None:
    """Raise HedgespecError if the machine drifted, or more tokens took less time."""
    for part, spread in costs.spread.items():
        if abs(spread.drift) > MOST_DRIFT:
            raise HedgespecError(
                f"costs: the second half of the measurements of {part!r} took "
                f"{1 + spread.drift:.2f} times the first: the machine did not run evenly; measure "
                "again with nothing else running")
    widths = sorted(costs.widths.items(), key=lambda item: int(item[0]))
    for (fewer, less), (more, seconds) in pairwise(widths):
        if seconds < (1 - MOST_DRIFT) * less:
            raise HedgespecError(
                f"costs: the target took {less:.3g} s for {fewer} tokens and {seconds:.3g} s for "
                f"{more}: the machine did not run evenly; measure again with nothing else running")


def load_costs(path: Path) -> Costs:
    """Read costs. Raises HedgespecError if the file is missing or wrong, naming the field."""
    try:
        document = parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise HedgespecError(f"{arg('costs', path)}: not readable as JSON ({error})"
                             + did_you_mean(str(path), bundled_costs())) from error
    return parse_costs(document, path)


def with_costs(trace: Trace, costs: Costs) -> Trace:
    """The trace under other costs.

    A drafter that has no costs by its name takes those of the first one; evaluating all of them
    together takes as long as it does for those measured, in proportion to their number. Raises
    TraceError if there are none.
    """
    if not costs.drafters:
        raise TraceError("the costs name no drafter")
    names = trace.manifest.drafter_names
    first = next(iter(costs.drafters.values()))
    together = costs.evaluate_all
    if together is not None:
        together *= len(names) / len(costs.drafters)
    own = replace(costs, drafters={name: costs.drafters.get(name, first) for name in names},
                  evaluate_all=together)
    return replace(trace, manifest=replace(trace.manifest, costs=own))
