"""Writes a trace batch by batch, so that an interrupted recording loses at most one batch."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, TraceError, arg
from hedgespec.files import (
    check_writable,
    holds_nothing,
    make_folder,
    read_json,
    read_parquet,
    remove_leftovers,
    write_table,
    write_text,
)
from hedgespec.traces.ahead import in_parallel
from hedgespec.traces.checks import (
    check_queries,
    check_rows,
    check_tokens,
    expected_rows,
    token_table_columns,
)
from hedgespec.traces.manifest import FileInfo, Manifest
from hedgespec.traces.schema import MANIFEST, MAX_ROWS_PER_SHARD, QUERIES, RECORDING, shard_name

# Of zstd: at 19 shards are 4 % smaller and take 15 times the time to write (docs/scale.md).
LEVEL = 9


class TraceWriter:
    """A trace directory under construction.

    Finished batches lie in `parts/`; `finish` merges them into shards and writes the manifest
    last, so a directory with a manifest is a whole trace.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], resume: bool = False):
        """Start or resume a recording in `folder`.

        `settings` says all that shapes the recording. Raises HedgespecError if the folder holds a
        finished trace, an unfinished recording without `resume`, or one with other settings.
        """
        self.folder = folder
        self.parts = folder / "parts"
        check_output(folder, resume)
        started = folder / RECORDING
        if started.exists():
            _check_same_settings(started, settings)
        make_folder(folder)
        write_text(started, json.dumps(settings, indent=1) + "\n")
        make_folder(self.parts)
        remove_leftovers(folder, self.parts)

    def finished_batches(self) -> set[str]:
        """Names of the batches already on disk."""
        return {path.stem for path in self.parts.glob("*.json")}

    def write_batch(self, name: str, queries: pl.DataFrame, tokens: pl.DataFrame) -> None:
        """Store one batch; it counts as finished once its hashes, written last, are there."""
        hashes = {
            kind: write_table(self._part(name, kind), table)
            for kind, table in (("tokens", tokens), ("queries", queries))
        }
        write_text(self._hashes(name), json.dumps(hashes) + "\n")

    def read_queries(self, name: str) -> pl.DataFrame:
        """The query table of a finished batch."""
        return self._read(name, "queries")

    def read_tokens(self, name: str, columns: list[str] | None = None) -> pl.DataFrame:
        """The token table of a finished batch, or some of its columns."""
        return self._read(name, "tokens", columns)

    def read_token_column(self, column: str) -> pl.Series:
        """One column of the token tables of all finished batches."""
        return pl.concat(
            [self.read_tokens(name, [column]) for name in sorted(self.finished_batches())]
        )[column]

    def _part(self, name: str, kind: str) -> Path:
        return self.parts / f"{name}.{kind}.parquet"

    def _hashes(self, name: str) -> Path:
        return self.parts / f"{name}.json"

    def _read(self, name: str, kind: str, columns: list[str] | None = None) -> pl.DataFrame:
        hashes = read_json(self._hashes(name))
        if not isinstance(hashes, dict) or not isinstance(hashes.get(kind), str):
            raise HedgespecError(
                f"{self._hashes(name)}: damaged; remove it to record this batch anew"
            )
        return read_parquet(
            self._part(name, kind),
            columns=columns,
            sha256=hashes[kind],
            where=self._hashes(name).name,
        )

    def finish(self, manifest: Manifest) -> Manifest:
        """Merge the batches in query order, write shards and manifest, and drop `parts/`.

        Query numbers may have gaps (skipped queries); they are renumbered 0, 1, 2, ... Columns
        that the format does not know, the recorder's working columns, are left out.
        """
        names = sorted(self.finished_batches())
        if not names:
            raise TraceError(f"{self.folder}: nothing was recorded")
        queries = pl.concat(
            [self.read_queries(name).with_columns(batch=pl.lit(name)) for name in names]
        ).sort("query")
        return self.write_whole(
            manifest, renumbered(queries.drop("batch"), queries["query"]), self._in_order(queries)
        )

    def _in_order(self, queries: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The tokens of each query, renumbered; those of a batch are kept until they were given."""
        batches: dict[str, dict[Any, pl.DataFrame]] = {}
        for number, name in enumerate(queries["batch"]):
            if name not in batches:
                tokens = renumbered(self.read_tokens(name), queries["query"])
                batches[name] = tokens.sort("query", "position").partition_by("query", as_dict=True)
            yield batches[name].pop((number,))

    def write_whole(
        self, manifest: Manifest, queries: pl.DataFrame, tokens: Iterable[pl.DataFrame]
    ) -> Manifest:
        """Write shards and manifest from `queries` and their `tokens`, in the order of queries.

        Shards are checked, compressed and written while further tokens are made; what readers would
        refuse gets no manifest. Columns that the format does not know are left out.
        """
        columns = [column for column, _ in token_table_columns(manifest)]
        lengths = queries["output_tokens"].cast(pl.Int64)
        manifest = replace(manifest, queries=len(queries), tokens=int(lengths.sum()))
        offsets = np.concatenate([[0], lengths.cum_sum().to_numpy()])

        def write(number: int, table: pl.DataFrame) -> FileInfo:
            path = self.folder / shard_name(number)
            table = table.select(columns)
            expected = expected_rows(offsets, number * MAX_ROWS_PER_SHARD, len(table))
            check_tokens(table, expected, manifest, path)
            return _write(path, table)

        check_queries(queries, manifest, self.folder / QUERIES)
        files = {QUERIES: _write(self.folder / QUERIES, queries)}
        shards = in_parallel(write, enumerate(_shards(tokens)))
        files |= {shard_name(number): info for number, info in enumerate(shards)}
        manifest = replace(manifest, files=files)
        check_rows(self.folder, manifest)
        manifest.save(self.folder)
        _remove_leftovers(self.folder)
        return manifest


def renumbered(table: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """A table of queries or tokens whose queries, `numbers` in rising order, count from 0."""
    place = numbers.search_sorted(table["query"]).cast(pl.UInt32)
    return table.with_columns(place.alias("query"))


def _shards(tables: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in tables of MAX_ROWS_PER_SHARD, but for the last."""
    waiting: list[pl.DataFrame] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= MAX_ROWS_PER_SHARD:
            found = pl.concat(waiting)
            while len(found) >= MAX_ROWS_PER_SHARD:
                yield found[:MAX_ROWS_PER_SHARD]
                found = found[MAX_ROWS_PER_SHARD:]
            waiting, rows = [found], len(found)
    if rows:
        yield pl.concat(waiting)


def _write(path: Path, table: pl.DataFrame) -> FileInfo:
    return FileInfo(
        write_table(path, table, compression="zstd", compression_level=LEVEL, statistics=False),
        len(table),
    )


def check_output(folder: Path, resume: bool) -> None:
    """Raise HedgespecError unless a recording can start, or with `resume` go on, in `folder`."""
    check_writable(folder)
    if (folder / MANIFEST).exists():
        _remove_leftovers(folder)  # killed just after the manifest was written
        raise HedgespecError(f"{folder}: already holds a whole trace; choose another {arg('out')}")
    if (folder / RECORDING).exists():
        if not resume:
            raise HedgespecError(
                f"{folder}: holds an unfinished recording; add {arg('resume', True)} to go on with "
                "it, or remove the folder"
            )
    elif not holds_nothing(folder):
        raise HedgespecError(f"{folder}: not empty and no recording; choose another {arg('out')}")


def _remove_leftovers(folder: Path) -> None:
    """Drop what only an unfinished recording needs; the settings last, they mark it unfinished."""
    shutil.rmtree(folder / "parts", ignore_errors=True)
    (folder / RECORDING).unlink(missing_ok=True)


def _check_same_settings(path: Path, settings: dict[str, Any]) -> None:
    before = read_json(path)
    if not isinstance(before, dict):
        raise HedgespecError(
            f"{path.parent}: cannot resume: {path.name} is damaged; remove the folder to start anew"
        )
    now = json.loads(json.dumps(settings))
    for key in sorted(set(before) | set(now)):
        if before.get(key) != now.get(key):
            raise HedgespecError(
                f"{path.parent}: cannot resume: {re.sub('_', ' ', key)} was "
                f"{before.get(key)!r} and is now {now.get(key)!r}"
            )
