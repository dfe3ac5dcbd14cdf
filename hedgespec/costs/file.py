"""Costs in a file of their own, to replay traces under them."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from hedgespec.bundled import bundled_costs
from hedgespec.errors import HedgespecError, TraceError, arg, did_you_mean
from hedgespec.files import parse_json, write_text
from hedgespec.traces.manifest import Costs, parse_costs
from hedgespec.traces.reader import Trace


def save_costs(path: Path, costs: Costs) -> None:
    """Write costs as JSON."""
    write_text(path, json.dumps(asdict(costs), indent=1) + "\n")


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
