"""Names, types and rounding of the trace format (see docs/trace-format.md)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

FORMAT = "hedgespec-trace"
VERSION = 4
MANIFEST = "manifest.json"
RECORDING = "recording.json"  # settings of an unfinished recording
QUERIES = "queries.parquet"
MAX_ROWS_PER_SHARD = 1 << 18
MAX_DRAFT_LENGTH = 10_000
MAX_TREE_LEVELS = 255
SHA256_PATTERN = "^[0-9a-f]{64}$"

QUERY_COLUMNS: dict[str, pl.DataType] = {
    "query": pl.UInt32(),
    "query_id": pl.String(),
    "source": pl.String(),
    "domain": pl.String(),
    "prompt_sha256": pl.String(),
    "prompt_tokens": pl.UInt32(),
    "output_tokens": pl.UInt32(),
    "finish_reason": pl.String(),
    "prompt_embedding": pl.List(pl.Float32()),
}
SYNTHETIC = "synthetic"  # the kind of drafters that are made up
FINISH_REASONS = ("eos", "length")

TOKEN_COLUMNS: dict[str, pl.DataType] = {
    "query": pl.UInt32(),
    "position": pl.UInt32(),
    "token": pl.UInt32(),
    "log_p": pl.Float32(),
}

# One column per statistic, drafter and recorded draft depth.
DRAFTER_STATISTICS: dict[str, pl.DataType] = {
    "log_q": pl.Float32(),
    "gamma": pl.Float32(),
    "match": pl.Boolean(),
    "p_top": pl.Float32(),
}

# Of a verification rule, recorded on request: one column per drafter and draft depth, or, of a rule
# of draft trees, one per drafter, that of "mass" per level of the tree.
RULE_STATISTICS: dict[str, pl.DataType] = {"gamma": pl.Float32(), "a": pl.Float32()}
TREE_STATISTICS: dict[str, pl.DataType] = {
    "depth": pl.UInt8(),
    "nodes": pl.UInt16(),
    "mass": pl.Float32(),
}

# What may be recorded of a drafter besides, of drafts that start at a position: one column each,
# without depth (docs/trace-format.md). Of drafts as long as asked for "drafted" is ENDLESS.
OPTIONAL_STATISTICS: dict[str, pl.DataType] = {
    "drafted": pl.UInt16(),
    "matched": pl.UInt8(),
    "q_top": pl.Float32(),
    "entropy": pl.Float32(),
    "gamma_low": pl.Float32(),
    "gamma_high": pl.Float32(),
}
FEATURES = ("q_top", "entropy")  # those that are recorded on request
BOUNDS = ("gamma_low", "gamma_high")  # where servers tell only the most probable tokens
ENDLESS = 2**16 - 1

TRACE_NAME_RULE = "a trace's name may hold letters, digits, '.', '_' and '-', at most 100 in all"
_TRACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DRAFTER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_RULE_NAME = re.compile(r"[a-z][a-z-]*(:[a-z0-9][a-z0-9.-]*)?")

# Rounding of stored statistics: grid step of log-probabilities, of probabilities, and the number
# of significand bits kept of an embedding. Rounded float32 values stay readable everywhere and
# compress to about the entropy of the grid. "full" keeps every bit.
PRECISIONS: dict[str, dict[str, int] | None] = {
    "full": None,
    "compact": {"log": 10, "probability": 12, "embedding": 8},
}


def shard_name(number: int) -> str:
    """File name of the `number`-th token shard."""
    return f"tokens-{number:05d}.parquet"


def statistic_column(statistic: str, drafter: str, depth: int, depths: int) -> str:
    """Column of one statistic of one drafter.

    `depth` counts from 1. A prefix-only drafter (`depths` = 1) has no depth in its column names.
    """
    return f"{statistic}/{drafter}" if depths == 1 else f"{statistic}/{drafter}@{depth}"


def optional_column(statistic: str, drafter: str) -> str:
    """Column of one of OPTIONAL_STATISTICS."""
    return f"{statistic}/{drafter}"


def token_columns(
    drafters: list[tuple[str, int]],
    rules: Sequence[tuple[str, int | None]] = (),
    optional: Sequence[tuple[str, str]] = (),
) -> Iterator[tuple[str, pl.DataType]]:
    """Names and types of a token shard's columns, one by one: a manifest may claim any number.

    `drafters` is a list of (name, depths), `rules` one of (name, levels of its trees or None),
    `optional` one of (one of OPTIONAL_STATISTICS, name).
    """
    yield from TOKEN_COLUMNS.items()
    for name, depths in drafters:
        for depth in range(1, depths + 1):
            for statistic, dtype in DRAFTER_STATISTICS.items():
                yield statistic_column(statistic, name, depth, depths), dtype
    for rule, levels in rules:
        for name, depths in drafters:
            yield from rule_schema(rule, levels, name, depths).items()
    for statistic, name in optional:
        yield optional_column(statistic, name), OPTIONAL_STATISTICS[statistic]


def token_schema(
    drafters: list[tuple[str, int]], rules: Sequence[tuple[str, int | None]] = ()
) -> dict[str, pl.DataType]:
    """The same in one, of drafters and rules that are known to be there."""
    return dict(token_columns(drafters, rules))


def rule_schema(rule: str, levels: int | None, drafter: str, depths: int) -> dict[str, pl.DataType]:
    """Columns that a rule has of one drafter; `levels` are those of its trees, None without."""
    if levels is None:
        return {
            statistic_column(f"{statistic}.{rule}", drafter, depth, depths): dtype
            for depth in range(1, depths + 1)
            for statistic, dtype in RULE_STATISTICS.items()
        }
    return {
        tree_column(statistic, rule, drafter, level): dtype
        for statistic, dtype in TREE_STATISTICS.items()
        for level in range(1, tree_levels(statistic, levels) + 1)
    }


def tree_column(statistic: str, rule: str, drafter: str, level: int) -> str:
    """Column of one statistic of a rule of draft trees; levels count from 1."""
    column = f"{statistic}.{rule}/{drafter}"
    return f"{column}@{level}" if statistic == "mass" else column


def tree_levels(statistic: str, levels: int) -> int:
    """How many columns a statistic of draft trees has."""
    return levels if statistic == "mass" else 1


def is_rule_name(name: str) -> bool:
    """Whether `name` can stand in a column name: as in sampling, multi:3 or tree:wide."""
    return _RULE_NAME.fullmatch(name) is not None


def is_drafter_name(name: str) -> bool:
    """Whether `name` can stand in a column name: lower case, digits, '.', '_' and '-'."""
    return _DRAFTER_NAME.fullmatch(name) is not None


def is_trace_name(name: str) -> bool:
    """Whether `name` can be a trace's name (TRACE_NAME_RULE)."""
    return _TRACE_NAME.fullmatch(name) is not None


def name_of_folder(folder: Path) -> str:
    """A trace's name, after the folder that it is made for."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).lstrip("._-")[:100]
    return name or "trace"


def round_log(values: np.ndarray, precision: str) -> np.ndarray:
    """Round log-probabilities to the grid of `precision`; -inf stays, none ends above 0."""
    rounded: np.ndarray = np.minimum(_round_to_grid(values, precision, "log"), np.float32(0))
    return rounded


def round_probability(values: np.ndarray, precision: str) -> np.ndarray:
    """Round probabilities to the grid of `precision`; the result stays in [0, 1]."""
    rounded: np.ndarray = np.clip(_round_to_grid(values, precision, "probability"), 0.0, 1.0)
    return rounded


def round_embedding(values: np.ndarray, precision: str) -> np.ndarray:
    """Keep the leading significand bits of each value (relative rounding)."""
    settings = PRECISIONS[precision]
    values = np.asarray(values, dtype=np.float32)
    if settings is None:
        return values
    significand, exponent = np.frexp(values)
    scale = 2.0 ** settings["embedding"]
    rounded: np.ndarray = np.ldexp(np.round(significand * scale) / scale, exponent)
    return rounded.astype(np.float32)


def _round_to_grid(values: np.ndarray, precision: str, kind: str) -> np.ndarray:
    settings = PRECISIONS[precision]
    values = np.asarray(values, dtype=np.float32)
    if settings is None:
        return values
    scale = np.float32(2 ** settings[kind])
    return (np.round(values * scale) / scale).astype(np.float32)
