"""What an engine's log can say: of each round, or counts alone. Bandit feedback in either case."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hedgespec.errors import HedgespecError

ROUNDS: dict[str, pl.DataType] = {
    "request": pl.String(),
    "round": pl.UInt32(),
    "drafter": pl.String(),
    "drafted": pl.UInt32(),
    "accepted": pl.UInt32(),
    "propensity": pl.Float64(),
}
COUNTS: dict[str, pl.DataType] = {
    "drafter": pl.String(),
    "rounds": pl.UInt64(),
    "drafted": pl.UInt64(),
    "accepted": pl.UInt64(),
    "accepted_at": pl.List(pl.Float64()),
}


@dataclass(frozen=True)
class Imported:
    """A log: `rounds` (ROUNDS; null where it does not say) or, if it has counts alone, None and
    `counts` (COUNTS)."""

    rounds: pl.DataFrame | None
    counts: pl.DataFrame


@dataclass(frozen=True)
class Import:
    """`read` reads a file, calling drafters that it does not name by `drafter`. Raises
    HedgespecError, with file and line, for what is no such log."""

    name: str
    help: str
    read: Callable[[Path, str], Imported]


def told_apart(requests: Sequence[str]) -> list[str]:
    """Ids of requests, in which one that came before, as in logs put together, is another."""
    seen: Counter[str] = Counter()
    found = []
    for request in requests:
        seen[request] += 1
        found.append(request if seen[request] == 1 else f"{request}#{seen[request]}")
    return found


def count_of(item: dict[str, Any], name: str, where: str) -> int:
    """A count. Raises HedgespecError naming it."""
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise HedgespecError(f'{where}: field "{name}" is {value!r}, not a count')
    return value


def counts_of(item: dict[str, Any], name: str, where: str, most: int = 2**32 - 1) -> list[int]:
    """A list of counts up to `most`. Raises HedgespecError naming it."""
    value = item.get(name)
    if not isinstance(value, list) or not all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= most for one in value
    ):
        raise HedgespecError(f'{where}: field "{name}" is not a list of counts')
    return value


def counted(rounds: pl.DataFrame) -> pl.DataFrame:
    """COUNTS of ROUNDS, by drafter."""
    deepest = int(rounds["accepted"].max() or 0)  # type: ignore[arg-type]
    drafts = (pl.col("drafted").is_null() | (pl.col("drafted") > 0)).sum()
    return (
        rounds.group_by("drafter", maintain_order=True)
        .agg(
            pl.len().alias("rounds"),
            pl.col("drafted").sum(),
            pl.col("accepted").sum(),
            pl.concat_list(
                [(pl.col("accepted") >= depth).sum() / drafts for depth in range(1, deepest + 1)]
                or [pl.lit(0.0)]
            ).alias("accepted_at"),
        )
        .cast(COUNTS)  # type: ignore[arg-type]
    )
