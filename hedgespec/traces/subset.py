"""Copies part of a trace: some queries of each domain, fewer draft depths, some drafters."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.traces.costs import Costs
from hedgespec.traces.manifest import Manifest
from hedgespec.traces.reader import TraceReader
from hedgespec.traces.schema import MAX_ROWS_PER_SHARD, TRACE_NAME_RULE, is_trace_name
from hedgespec.traces.writer import TraceWriter, renumbered


def write_subset(
    source: Path,
    out: Path,
    per_domain: int | None = None,
    depths: int | None = None,
    name: str | None = None,
    drafters: Sequence[str] = (),
    costs_of_drafters: Callable[[Costs, Sequence[str]], Costs] | None = None,
) -> Manifest:
    """Write a trace of the first `per_domain` queries of each domain of another one.

    `depths` keeps that many draft depths of the drafters that have several; replaying longer drafts
    than that needs the whole trace, and the copy's own draft length is no longer. `name` is the
    copy's, if it is to have one of its own. `drafters` are names of those to keep, none are all;
    the copy has the costs that `costs_of_drafters` makes of the trace's, without it none. The
    manifest's `recording` says what was copied. Raises
    HedgespecError if nothing is left or `out` is not empty, TraceError if the source is bad.
    """
    if per_domain is not None and per_domain < 1:
        raise HedgespecError(f"{arg('per_domain')} must be at least 1, not {per_domain}")
    if depths is not None and depths < 2:
        raise HedgespecError(f"{arg('depths')} must be at least 2, not {depths}")
    if name is not None and not is_trace_name(name):
        raise HedgespecError(f"{arg('name')} {name!r}: {TRACE_NAME_RULE}")
    trace = TraceReader(source)
    manifest = trace.manifest
    shortened = _cut(manifest, depths, name)
    if drafters:
        shortened = _without_others(shortened, drafters, costs_of_drafters)
    queries = trace.queries
    if per_domain is not None and per_domain < manifest.queries:
        queries = queries.filter(pl.int_range(pl.len()).over("domain") < per_domain)
    writer = TraceWriter(out, {"subset_of": manifest.name})
    numbers = queries["query"]
    tokens = (
        renumbered(trace.tokens(piece), numbers)
        for piece in trace.pieces(MAX_ROWS_PER_SHARD, numbers.to_numpy())
    )
    return writer.write_whole(shortened, renumbered(queries, numbers), tokens)


def _without_others(
    manifest: Manifest,
    names: Sequence[str],
    costs_of_drafters: Callable[[Costs, Sequence[str]], Costs] | None,
) -> Manifest:
    """The manifest with the drafters called so, in its order."""
    known = [drafter.name for drafter in manifest.drafters]
    for name in names:
        if name not in known:
            raise HedgespecError(
                f"{arg('drafters')}: trace {manifest.name} has no drafter {name!r}"
                + (did_you_mean(name, known) or f"; its drafters are {', '.join(known)}")
            )
    kept = [drafter for drafter in manifest.drafters if drafter.name in names]
    costs = None
    if manifest.costs is not None and costs_of_drafters is not None:
        costs = costs_of_drafters(manifest.costs, [drafter.name for drafter in kept])
    told = {**manifest.recording["subset_of"], "drafters": known}
    return replace(
        manifest, drafters=kept, costs=costs, recording={**manifest.recording, "subset_of": told}
    )


def _cut(manifest: Manifest, depths: int | None, name: str | None) -> Manifest:
    """The manifest with fewer draft depths, and no longer drafts than these allow."""
    deepest = max(drafter.depths for drafter in manifest.drafters)
    if depths is not None and depths > deepest:
        raise HedgespecError(
            f"{arg('depths')} {depths}: no drafter of trace {manifest.name} has more than {deepest}"
        )
    drafters = [
        replace(drafter, depths=min(drafter.depths, depths or drafter.depths))
        for drafter in manifest.drafters
    ]
    longest = min(
        (drafter.depths for drafter in drafters if drafter.depths > 1),
        default=manifest.draft_length,
    )
    return replace(
        manifest,
        name=name or manifest.name,
        drafters=drafters,
        draft_length=min(manifest.draft_length, longest),
        recording={
            **manifest.recording,
            "subset_of": {
                "name": manifest.name,
                "queries": manifest.queries,
                "tokens": manifest.tokens,
                "depths": deepest,
            },
        },
    )
