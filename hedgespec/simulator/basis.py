"""Whose costs seconds are estimated from: a file of costs or a trace's own, and a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

from hedgespec.costs.file import costs_for, load_costs
from hedgespec.costs.parts import PARTS, doubled
from hedgespec.errors import HedgespecError, TraceError, arg
from hedgespec.files import as_unicode, sha256_file
from hedgespec.results.labels import EVERY_DRAFTER, OWN_COSTS, ArmLabel
from hedgespec.traces import Costs, DrafterInfo, Trace, TraceReader


@dataclass(frozen=True)
class CostBasis:
    """Costs by the name that results give them, OWN_COSTS for a trace's own, at a batch.

    `costs` are those of the trace's drafters; None: there are none, and then no `name`. `slow` and
    `fast` are the same with every part at the ends of its measurements, None where these are not
    known. `sha256` is that of the file, None for a trace's own.
    """

    name: str = ""
    batch: int = 1
    costs: Costs | None = None
    slow: Costs | None = None
    fast: Costs | None = None
    sha256: str | None = None

    @cached_property
    def twice(self) -> dict[str, Costs | None]:
        """The costs with one of their parts taking twice as long, by part."""
        return {part: None if self.costs is None else doubled(self.costs, part) for part in PARTS}


def costs_name(file: Path) -> str:
    """How results name a file of costs."""
    return as_unicode(file.name.removesuffix(".json"))


def check_costs(files: Sequence[Path]) -> None:
    """Raise HedgespecError for files that cannot be read, or told apart by name."""
    found: dict[str, Path] = {OWN_COSTS: Path(OWN_COSTS)}
    for file in files:
        if found.setdefault(costs_name(file), file) != file:
            raise HedgespecError(
                f"{arg('costs', file)}: results name costs by file name, and "
                f"{found[costs_name(file)]} is called {costs_name(file)} too; "
                "rename one"
            )
        if not is_own(file):
            load_costs(file)


def is_own(file: Path) -> bool:
    """Whether it stands for a trace's own costs."""
    return file == Path(OWN_COSTS)


def cost_bases(
    trace: Trace | TraceReader,
    files: Sequence[Path],
    batches: Sequence[int],
    arms: Sequence[str] = (),
) -> list[CostBasis]:
    """Every file (none: the trace's own costs) at every batch (none: 1).

    A file's are those of the drafters that `arms` name (none: of all). Raises HedgespecError for a
    batch, or a kind of drafter, that was not measured.
    """
    named = {label.drafter for label in map(ArmLabel.parse, arms) if label is not None}
    drafters = [
        info for info in trace.manifest.drafters if not named or named & {info.name, EVERY_DRAFTER}
    ]
    return [
        _basis(trace, file, batch, drafters)
        for file, batch in product(
            dict.fromkeys(files) or [Path(OWN_COSTS)], dict.fromkeys(batches) or [1]
        )
    ]


def _basis(
    trace: Trace | TraceReader, file: Path, batch: int, drafters: list[DrafterInfo]
) -> CostBasis:
    own = is_own(file)
    costs = trace.manifest.costs if own else load_costs(file)
    whose = f"the costs of trace {trace.name}" if own else f"the costs {file}"
    if costs is None and batch == 1:
        return CostBasis()
    if costs is None:
        raise HedgespecError(
            f"{arg('batch', batch)}: trace {trace.name} has no costs; give some with {arg('costs')}"
        )
    costs = costs.at(batch, whose=whose)
    drafters = list(trace.manifest.drafters) if own else drafters
    layers = trace.manifest.target_layers
    try:
        slow, fast = (
            costs_for(costs.end(end), drafters, layers) if costs.spread else None
            for end in ("high", "low")
        )
        return CostBasis(
            costs_name(file),
            batch,
            costs_for(costs, drafters, layers),
            slow,
            fast,
            None if own else sha256_file(file),
        )
    except TraceError as error:
        raise HedgespecError(f"{arg('costs', file)}, trace {trace.name}: {error}") from error
