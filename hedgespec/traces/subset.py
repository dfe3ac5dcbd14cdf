"""Copies part of a trace: some queries of each domain, and perhaps fewer draft depths."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import read_parquet
from hedgespec.traces.checks import token_table_schema
from hedgespec.traces.manifest import Manifest
from hedgespec.traces.reader import read_trace
from hedgespec.traces.schema import QUERIES
from hedgespec.traces.writer import TraceWriter


def write_subset(
    source: Path, out: Path, per_domain: int | None = None, depths: int | None = None,
    name: str | None = None,
) -> Manifest:
    """Write a trace of the first `per_domain` queries of each domain of another one.

    `depths` keeps that many draft depths of the drafters that have several; replaying longer drafts
    than that needs the whole trace. `name` is the copy's, if it is to have one of its own. The
    manifest's `recording` says what was copied. Raises HedgespecError if nothing is left or `out`
    is not empty, TraceError if the source is bad.
    """
    if per_domain is not None and per_domain < 1:
        raise HedgespecError(f"{arg('per_domain')} must be at least 1, not {per_domain}")
    if depths is not None and depths < 2:
        raise HedgespecError(f"{arg('depths')} must be at least 2, not {depths}")
    trace = read_trace(source)
    manifest = trace.manifest
    cut = replace(
        manifest, name=name or manifest.name,
        drafters=[replace(drafter, depths=min(drafter.depths, depths or drafter.depths))
                  for drafter in manifest.drafters],
        recording={**manifest.recording, "subset_of": {
            "name": manifest.name, "queries": manifest.queries, "tokens": manifest.tokens,
            "depths": max(drafter.depths for drafter in manifest.drafters)}},
    )
    queries = trace.queries
    if per_domain is not None:
        queries = queries.filter(pl.int_range(pl.len()).over("domain") < per_domain)
    tokens = pl.concat([
        read_parquet(source / name).select(list(token_table_schema(cut)))
        for name in sorted(set(manifest.files) - {QUERIES})
    ]).filter(pl.col("query").is_in(queries["query"].implode()))
    writer = TraceWriter(out, {"subset_of": manifest.name})
    writer.write_batch("all", queries, tokens)
    return writer.finish(cut)
