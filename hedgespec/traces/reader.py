"""Reads a trace directory into contiguous NumPy arrays, checking everything on the way."""

from dataclasses import dataclass, field
from os.path import isfile
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.errors import TraceError
from hedgespec.traces.checks import (
    check_queries,
    check_tokens,
    expected_rows,
    read_table,
    token_table_columns,
)
from hedgespec.traces.manifest import DrafterInfo, Manifest, load_manifest
from hedgespec.traces.schema import (
    DRAFTER_STATISTICS,
    QUERIES,
    QUERY_COLUMNS,
    RULE_STATISTICS,
    TREE_STATISTICS,
    optional_column,
    statistic_column,
    tree_column,
    tree_levels,
)


@dataclass(frozen=True)
class Trace:
    """A recorded trace: T tokens of Q queries, D draft depths, N drafters.

    `offsets` (Q+1) bounds each query's tokens. `tokens` (T) are the emitted ids and `log_p` (T)
    their log-probability under the target. `log_q`, `gamma`, `match`, `p_top` have shape
    (T, D, N); entry [t, d-1, i] is drafter i's statistic of token t at draft depth d, that is in
    a round that started at t-d+1. A prefix-only drafter has the same value at every depth; where
    all are prefix-only, D = 1. Its definition: docs/trace-format.md.
    `rules` are statistics of verification rules that were recorded: `gamma.RULE` and `a.RULE`
    (T, D, N); of trees `depth.RULE` and `nodes.RULE` (T, 1, N), and `mass.RULE` (T, levels, N) of
    rounds that start at t. `optional` are the columns (T) of OPTIONAL_STATISTICS that were
    recorded, by their names. `folder` is where it was read from, None for one made otherwise.
    """

    manifest: Manifest
    queries: pl.DataFrame
    offsets: np.ndarray
    tokens: np.ndarray
    log_p: np.ndarray
    log_q: np.ndarray
    gamma: np.ndarray
    match: np.ndarray
    p_top: np.ndarray
    rules: dict[str, np.ndarray] = field(default_factory=dict)
    folder: Path | None = None
    optional: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The trace's own name, from its manifest."""
        return self.manifest.name


def read_trace(folder: str | Path) -> Trace:
    """Read and check a whole trace.

    Raises TraceError naming file, row and column of the first fault: missing or unlisted files,
    wrong hash, schema, range, order, NaN, or statistics that contradict each other.
    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    _check_listing(folder, manifest)
    queries = read_table(folder / QUERIES, manifest, QUERY_COLUMNS.items())
    check_queries(queries, manifest, folder / QUERIES)
    tokens = _read_shards(folder, manifest, queries)
    offsets = np.concatenate([[0], np.cumsum(queries["output_tokens"].to_numpy(), dtype=np.int64)])
    statistics = {name: _stack(tokens, name, manifest.drafters) for name in DRAFTER_STATISTICS}
    return Trace(
        folder=folder,
        manifest=manifest,
        queries=queries,
        offsets=offsets,
        tokens=tokens["token"].to_numpy(),
        log_p=tokens["log_p"].to_numpy(),
        rules=_stack_rules(tokens, manifest),
        optional={column: tokens[column].to_numpy() for drafter in manifest.drafters for column in (
            optional_column(statistic, drafter.name) for statistic in drafter.statistics)},
        **statistics,
    )


def _check_listing(folder: Path, manifest: Manifest) -> None:
    """Files in the folder and files in the manifest must be the same."""
    if QUERIES not in manifest.files:
        raise TraceError(f'{folder / "manifest.json"}: field "files" does not list {QUERIES}')
    for name in manifest.files:
        if Path(name).name != name:
            raise TraceError(f'{folder / "manifest.json"}: file name {name!r} leaves the folder')
        if not isfile(folder / name):  # of whatever name, however long
            raise TraceError(f"{folder / name}: file is missing, though the manifest lists it")
    for path in sorted(folder.glob("*.parquet")):
        if path.name not in manifest.files:
            raise TraceError(f"{path}: not listed in the manifest: another trace's file?")


def _read_shards(folder: Path, manifest: Manifest, queries: pl.DataFrame) -> pl.DataFrame:
    """The token shards in one, as many rows as queries.parquet, which was checked, counts."""
    shards, left = {}, manifest.tokens
    for name in sorted(set(manifest.files) - {QUERIES}):
        table = read_table(folder / name, manifest, token_table_columns(manifest))
        if left < len(table):
            raise TraceError(f"{folder / name}: row {left}: more tokens than {QUERIES} counts")
        shards[name] = table
        left -= len(table)
    if left or not shards:
        raise TraceError(f"{folder}: the token shards hold {manifest.tokens - left} tokens, "
                         f"{QUERIES} counts {manifest.tokens}")
    expected, start = expected_rows(queries), 0
    for name, table in shards.items():
        check_tokens(table, expected.slice(start, len(table)), manifest, folder / name)
        start += len(table)
    return pl.concat(shards.values())


def _stack(table: pl.DataFrame, statistic: str, drafters: list[DrafterInfo]) -> np.ndarray:
    """Shape (T, D, N); a prefix-only drafter's single column stands at every depth."""
    depths = max(drafter.depths for drafter in drafters)
    columns = [
        table[statistic_column(statistic, drafter.name, min(depth, drafter.depths),
                               drafter.depths)].to_numpy()
        for depth in range(1, depths + 1)
        for drafter in drafters
    ]
    return np.stack(columns, axis=-1).reshape(len(table), depths, len(drafters))


def _stack_rules(table: pl.DataFrame, manifest: Manifest) -> dict[str, np.ndarray]:
    """The recorded rules' statistics by STATISTIC.RULE; see Trace."""
    found = {}
    for rule in manifest.rules:
        if rule.levels is None:
            for statistic in RULE_STATISTICS:
                name = f"{statistic}.{rule.name}"
                found[name] = _stack(table, name, manifest.drafters)
            continue
        for statistic in TREE_STATISTICS:
            deepest = tree_levels(statistic, rule.levels)
            columns = [
                table[tree_column(statistic, rule.name, drafter, level)].to_numpy()
                for level in range(1, deepest + 1) for drafter in manifest.drafter_names]
            found[f"{statistic}.{rule.name}"] = np.stack(columns, axis=-1).reshape(
                len(table), deepest, len(manifest.drafters))
    return found
