"""Reads a trace directory into contiguous NumPy arrays, checking everything on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os.path import isfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hedgespec.bundled import trace_folder
from hedgespec.errors import TraceError
from hedgespec.files import check_hash
from hedgespec.remote import origin
from hedgespec.traces.checks import (
    check_queries,
    check_rows,
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
    `numbers` (Q) are those of its queries in the whole trace, of which it may be a piece.
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
    numbers: np.ndarray = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Without numbers it is a whole trace."""
        if self.numbers is None:
            object.__setattr__(self, "numbers", np.arange(len(self.offsets) - 1))

    @property
    def name(self) -> str:
        """The trace's own name, from its manifest."""
        return self.manifest.name

    @property
    def bytes(self) -> int:
        """What its tokens take in memory."""
        arrays = (
            self.tokens,
            self.log_p,
            self.log_q,
            self.gamma,
            self.match,
            self.p_top,
            *self.rules.values(),
            *self.optional.values(),
        )
        return sum(array.nbytes for array in arrays)


class TraceReader:
    """A trace folder whose tokens are read piece by piece: each piece a Trace of whole queries.

    `manifest` and `queries` are those of the whole trace, checked; `offsets` (Q+1) bound the
    queries' tokens.
    """

    def __init__(self, folder: str | Path):
        """Raises TraceError for all that can be wrong but for the content of token shards."""
        self.folder = Path(folder)
        self.manifest = load_manifest(self.folder)
        _check_listing(self.folder, self.manifest)
        queries = self.folder / QUERIES
        self.queries = read_table(queries, self.manifest, QUERY_COLUMNS.items())
        check_queries(self.queries, self.manifest, queries)
        self.offsets = _offsets(self.queries)
        self._first_rows = self._check_rows()
        self._last: tuple[str, pl.DataFrame] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process reads it again; of a URL it makes a copy of its own."""
        url = origin(self.folder)
        return _opened, (url or str(self.folder.absolute()),)

    def _check_rows(self) -> dict[str, int]:
        """The row that each shard begins with; where they are too few or many the shard whose
        number of rows is not that of the manifest is named, if there is one."""
        try:
            return check_rows(self.folder, self.manifest)
        except TraceError:
            for name in sorted(set(self.manifest.files) - {QUERIES}):
                read_table(self.folder / name, self.manifest, token_table_columns(self.manifest))
            raise

    @property
    def name(self) -> str:
        """The trace's own name, from its manifest."""
        return self.manifest.name

    def pieces(
        self, tokens: int | None = None, numbers: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Query numbers (None: all) in pieces, in their order, of at most so many tokens or one
        query; None: all in one."""
        if numbers is None:
            numbers = np.arange(self.manifest.queries)
        if tokens is None:
            return [numbers]
        lengths, pieces, begin, total = np.diff(self.offsets)[numbers], [], 0, 0
        for place, length in enumerate(lengths.tolist()):
            if total and total + length > tokens:
                pieces.append(numbers[begin:place])
                begin, total = place, 0
            total += length
        return [*pieces, numbers[begin:]]

    def read(self, numbers: np.ndarray | None = None) -> Trace:
        """The Trace of the queries of these numbers, in that order; None: of all.

        Raises TraceError naming file, row and column of the first fault in the shards that hold
        them.
        """
        if numbers is None:
            numbers = np.arange(self.manifest.queries)
        tokens = self.tokens(numbers)
        queries = self.queries[numbers.tolist()]
        manifest = self.manifest
        return Trace(
            folder=self.folder,
            manifest=manifest,
            queries=queries,
            numbers=numbers,
            offsets=_offsets(queries),
            tokens=tokens["token"].to_numpy(),
            log_p=tokens["log_p"].to_numpy(),
            rules=_stack_rules(tokens, manifest),
            optional={
                column: tokens[column].to_numpy()
                for drafter in manifest.drafters
                for column in (
                    optional_column(statistic, drafter.name) for statistic in drafter.statistics
                )
            },
            **{name: _stack(tokens, name, manifest.drafters) for name in DRAFTER_STATISTICS},
        )

    def tokens(self, numbers: np.ndarray) -> pl.DataFrame:
        """The rows of the token shards of these queries, in that order."""
        rows = np.concatenate([np.arange(*self.offsets[number : number + 2]) for number in numbers])
        wanted = np.sort(rows)
        parts = []
        for name, first in self._first_rows.items():
            begin, end = np.searchsorted(wanted, [first, first + self.manifest.files[name].rows])
            if begin < end:
                parts.append(_rows(self._shard(name), wanted[begin:end] - first))
        found = pl.concat(parts)
        return found if np.array_equal(rows, wanted) else found[np.searchsorted(wanted, rows)]

    def columns(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Some columns of each token shard, as they are: not checked here."""
        return (
            pl.read_parquet(self.folder / name, columns=list(names)) for name in self._first_rows
        )

    def forget(self) -> None:
        """Free the last shard that was read."""
        self._last = None

    def check_hashes(self) -> None:
        """Raise TraceError for a token shard whose bytes are not those of the manifest."""
        for name in self._first_rows:
            check_hash(
                self.folder / name, self.manifest.files[name].sha256, "the manifest", TraceError
            )

    def _shard(self, name: str) -> pl.DataFrame:
        """A token shard, checked; the last one is kept, for the next piece may begin in it."""
        if self._last is None or self._last[0] != name:
            self._last = None
            path, first = self.folder / name, self._first_rows[name]
            table = read_table(path, self.manifest, token_table_columns(self.manifest))
            check_tokens(table, expected_rows(self.offsets, first, len(table)), self.manifest, path)
            self._last = name, table
        return self._last[1]


def _opened(location: str) -> TraceReader:
    return TraceReader(trace_folder(location))


def _rows(table: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    """Rows of a table, in rising order; where they follow one another they are not copied."""
    begin, end = int(rows[0]), int(rows[-1]) + 1
    return table.slice(begin, end - begin) if end - begin == len(rows) else table[rows]


def read_trace(folder: str | Path) -> Trace:
    """Read and check a whole trace.

    Raises TraceError naming file, row and column of the first fault: missing or unlisted files,
    wrong hash, schema, range, order, NaN, or statistics that contradict each other.
    """
    return TraceReader(folder).read()


def _offsets(queries: pl.DataFrame) -> np.ndarray:
    """The first token of each query, and the end of the last, (Q+1)."""
    return np.concatenate([[0], np.cumsum(queries["output_tokens"].to_numpy(), dtype=np.int64)])


def _check_listing(folder: Path, manifest: Manifest) -> None:
    """Files in the folder and files in the manifest must be the same."""
    if QUERIES not in manifest.files:
        raise TraceError(f'{folder / "manifest.json"}: field "files" does not list {QUERIES}')
    for name in manifest.files:
        if Path(name).name != name:
            raise TraceError(f"{folder / 'manifest.json'}: file name {name!r} leaves the folder")
        if not isfile(folder / name):  # of whatever name, however long
            raise TraceError(f"{folder / name}: file is missing, though the manifest lists it")
    for path in sorted(folder.glob("*.parquet")):
        if path.name not in manifest.files:
            raise TraceError(f"{path}: not listed in the manifest: another trace's file?")


def _stack(table: pl.DataFrame, statistic: str, drafters: list[DrafterInfo]) -> np.ndarray:
    """Shape (T, D, N); a prefix-only drafter's single column stands at every depth."""
    depths = max(drafter.depths for drafter in drafters)
    columns = [
        table[
            statistic_column(statistic, drafter.name, min(depth, drafter.depths), drafter.depths)
        ].to_numpy()
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
                for level in range(1, deepest + 1)
                for drafter in manifest.drafter_names
            ]
            found[f"{statistic}.{rule.name}"] = np.stack(columns, axis=-1).reshape(
                len(table), deepest, len(manifest.drafters)
            )
    return found
