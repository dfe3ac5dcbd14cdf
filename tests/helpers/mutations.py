"""Damage to files, drawn with a seed: `make fuzz` runs these for long, the tests for a moment.

Whatever is done to a file, reading it works or ends in a HedgespecError.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

# Numbers that wrap, overflow, are none, or claim what no file holds; texts that cannot be written.
NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2**31,
    2**32,
    2**63,
    2**64,
    10**8,
    10**23,
    10**400,
    1e308,
    0.5,
    float("nan"),
    float("inf"),
    float("-inf"),
]
TEXTS: list[Any] = ["", "\0", "a\nb", "\ud800", "../x", "all", "=1+1", "x" * 10_000, "é", "0" * 64]
OTHERS: list[Any] = [None, True, [], {}, [[]], {"": 0}]
BYTES = (b"\0", b"\xff", b"PAR1", b"{", b'"', b"9" * 400, b"\xef\xbb\xbf", b"\\ud800")


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Some bytes changed, cut out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = rng.randrange(len(changed) + 1)
        end = min(len(changed), place + rng.choice((1, 1, 4, 64, 4096)))
        kind = rng.randrange(5)
        if kind == 0 and place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[place:end]
        elif kind == 2:
            changed[place:place] = changed[place:end]
        elif kind == 3:
            changed[place:place] = rng.choice(BYTES)
        else:
            del changed[place:]
    return bytes(changed)


def mutate_document(document: Any, rng: Random) -> Any:
    """A JSON document with one value, key or entry changed."""
    document = json.loads(json.dumps(document))
    holder, key = rng.choice(list(_places(document)))
    kind = rng.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = rng.choice([*NUMBERS, *TEXTS, *OTHERS])
    return document


def _places(part: Any) -> list[tuple[Any, Any]]:
    """Every value of a document by what holds it and its key there."""
    keys = (
        list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
    )
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found += [(part, key), *_places(part[key])]
    return found


def mutate_table(table: pl.DataFrame, rng: Random) -> pl.DataFrame:
    """A table with a cell, column or row changed."""
    column, row = rng.choice(table.columns), rng.randrange(max(1, len(table)))
    here = pl.int_range(pl.len()) == row
    if (kind := rng.randrange(6)) == 0:
        return table.drop(column)
    if kind == 1:
        return table.filter(~here)
    if kind == 2:
        return pl.concat([table, table.filter(here)])
    if kind == 3:
        other = rng.choice(table.columns)
        return table.with_columns(pl.col(other).alias(column))  # its type may be another
    dtype = table.schema[column]
    value: Any = rng.choice(TEXTS[:3]) if dtype == pl.String else None
    if dtype.is_integer():  # as far as the type goes
        low, high = (
            int(table.select(bound).item())
            for bound in (pl.lit(0, dtype).lower_bound(), pl.lit(0, dtype).upper_bound())
        )
        value = min(max(low, rng.choice((-1, 0, 1, 2**31, 2**32 - 1))), high)
    elif dtype.is_float():
        value = rng.choice((0.0, -1.0, 2.0, float("nan"), float("inf"), float("-inf"), 1e30))
    return table.with_columns(
        pl.when(here).then(pl.lit(value, dtype)).otherwise(pl.col(column)).alias(column)
    )


def mutate_file(path: Path, rng: Random) -> None:
    """The file with something changed: its bytes, or what they say."""
    if rng.randrange(3) == 0:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
    elif path.suffix == ".json":
        document = mutate_document(json.loads(path.read_text()), rng)
        path.write_text(json.dumps(document))
    else:
        mutate_table(pl.read_parquet(path), rng).write_parquet(path)


def mutated(folder: Path, rng: Random, seal: Callable[[Path], None]) -> str:
    """Change one file of a folder; return its name.

    Half of the changed tables get their new hash by `seal`, so that their content is looked at:
    these are still tables.
    """
    files = [one for one in folder.iterdir() if one.suffix in (".json", ".parquet")]
    path = rng.choice(sorted(files))
    if path.suffix == ".parquet" and rng.randrange(2):
        mutate_table(pl.read_parquet(path), rng).write_parquet(path)
        seal(folder)
    else:
        mutate_file(path, rng)
    return path.name
