"""Content checks of trace tables: each finds the first row and column that breaks a rule."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.errors import TraceError
from hedgespec.files import read_parquet
from hedgespec.traces.manifest import DrafterInfo, Manifest
from hedgespec.traces.schema import (
    BOUNDS,
    FEATURES,
    FINISH_REASONS,
    PRECISIONS,
    QUERIES,
    SHA256_PATTERN,
    optional_column,
    statistic_column,
    token_columns,
    tree_column,
)

_ROW_TYPES = dict.fromkeys(("query", "position", "left"), pl.UInt32())
Check = tuple[str, pl.Expr, str]  # column, expression that is true on a fault, what is wrong


def read_table(
    path: Path, manifest: Manifest, columns: Iterable[tuple[str, pl.DataType]]
) -> pl.DataFrame:
    """Read a Parquet file whose hash the manifest has.

    It must have just these columns and types, and the manifest's number of rows. Raises TraceError.
    """
    if not path.is_file():
        raise TraceError(f"{path}: file is missing, though the manifest lists it")
    listed = manifest.files[path.name]
    table = read_parquet(path, TraceError, sha256=listed.sha256, where="the manifest")
    schema = {}
    for column, dtype in columns:  # no more than there are: a manifest may claim any number
        schema[column] = dtype
        if column not in table.columns:
            raise TraceError(f'{path}: column "{column}" is missing')
        if table[column].dtype != dtype:
            raise TraceError(
                f'{path}: column "{column}" has type {table[column].dtype}, expected {dtype}'
            )
    for column in table.columns:
        if column not in schema:
            raise TraceError(f'{path}: unknown column "{column}"')
        if table[column].null_count():
            row = int(table[column].is_null().arg_max() or 0)
            raise TraceError(f'{path}: row {row}, column "{column}": value is null')
    if len(table) != listed.rows:
        raise TraceError(f"{path}: {len(table)} rows, the manifest says {listed.rows}")
    return table.select(list(schema))


def check_queries(table: pl.DataFrame, manifest: Manifest, path: Path) -> None:
    """Check queries.parquet: numbering, hashes, counts, finish reasons and embeddings."""
    widths = table["prompt_embedding"].list.len()
    embedding = pl.col("prompt_embedding").list
    rules: list[Check] = [
        (
            "query",
            pl.col("query") != pl.int_range(pl.len(), dtype=pl.UInt32),
            "queries must be numbered 0, 1, 2, ...",
        ),
        ("query_id", pl.col("query_id") == "", "is empty"),
        ("query_id", ~pl.col("query_id").is_first_distinct(), "appears twice"),
        ("domain", pl.col("domain") == "", "is empty"),
        *(
            (name, pl.col(name).str.contains(r"[\x00-\x1f\x7f]"), "holds a control character")
            for name in ("query_id", "source", "domain")
        ),
        (
            "prompt_sha256",
            ~pl.col("prompt_sha256").str.contains(SHA256_PATTERN),
            "is not 64 hexadecimal digits",
        ),
        ("prompt_tokens", pl.col("prompt_tokens") < 1, "must be at least 1"),
        ("output_tokens", pl.col("output_tokens") < 1, "must be at least 1"),
        (
            "finish_reason",
            ~pl.col("finish_reason").is_in(list(FINISH_REASONS)),
            f"must be one of {', '.join(FINISH_REASONS)}",
        ),
        (
            "prompt_embedding",
            embedding.len() != int(widths[0]) if len(widths) else pl.lit(False),
            "has another length than the first row's",
        ),
        (
            "prompt_embedding",
            ~embedding.eval(pl.element().is_finite().fill_null(False)).list.all(),
            "holds null, NaN or infinity",
        ),
    ]
    _raise_first(table, rules, path)
    if len(table) != manifest.queries:
        raise TraceError(f"{path}: {len(table)} queries, the manifest says {manifest.queries}")
    total = int(table["output_tokens"].cast(pl.Int64).sum())  # in its own type it would wrap
    if total != manifest.tokens:
        raise TraceError(
            f'{path}: column "output_tokens" adds up to {total}, '
            f"the manifest says {manifest.tokens} tokens"
        )


def expected_rows(offsets: np.ndarray, first: int, rows: int) -> pl.DataFrame:
    """The (query, position) pairs that rows first.. of the token shards must hold, in order.

    `offsets` (Q+1) bound the queries' tokens; `left` are the tokens from there to the answer's end.
    """
    tokens = np.arange(first, first + rows)
    query = np.searchsorted(offsets, tokens, side="right") - 1
    return pl.DataFrame(
        {"query": query, "position": tokens - offsets[query], "left": offsets[query + 1] - tokens},
        schema_overrides=_ROW_TYPES,
    )


def check_rows(folder: Path, manifest: Manifest) -> dict[str, int]:
    """The row of the trace that each token shard begins with.

    Raises TraceError unless the shards hold as many rows together as queries.parquet, which was
    checked, counts.
    """
    found, rows = {}, 0
    for name in sorted(set(manifest.files) - {QUERIES}):
        found[name] = rows
        rows += manifest.files[name].rows
        if rows > manifest.tokens:
            raise TraceError(
                f"{folder / name}: row {manifest.tokens - found[name]}: more tokens "
                f"than {QUERIES} counts"
            )
    if rows < manifest.tokens or not found:
        raise TraceError(
            f"{folder}: the token shards hold {rows} tokens, {QUERIES} counts {manifest.tokens}"
        )
    return found


def check_tokens(
    table: pl.DataFrame, expected: pl.DataFrame, manifest: Manifest, path: Path
) -> None:
    """Check one token shard.

    `expected` holds the (query, position) rows that must stand in this shard, in order.
    """
    table = table.with_columns(
        expected["query"].alias("_query"),
        expected["position"].alias("_position"),
        expected["left"].alias("_left"),
    )
    rules: list[Check] = [
        (
            "query",
            pl.col("query") != pl.col("_query"),
            "breaks the order of queries or disagrees with output_tokens of queries.parquet",
        ),
        (
            "position",
            pl.col("position") != pl.col("_position"),
            "positions must count 0, 1, 2, ... within each query",
        ),
        (
            "token",
            pl.col("token") >= manifest.target.vocabulary_size,
            f"is outside the vocabulary of {manifest.target.vocabulary_size}",
        ),
        (
            "log_p",
            ~(pl.col("log_p").is_finite() & (pl.col("log_p") <= 0)),
            "must be finite and <= 0: the emitted token has positive probability",
        ),
    ]
    if manifest.sampling.temperature == 0:
        rules.append(
            (
                "log_p",
                pl.col("log_p") != 0,
                "must be 0: at temperature 0 p is 1 on the emitted token",
            )
        )
    for drafter in manifest.drafters:
        for depth in range(1, drafter.depths + 1):
            rules += _drafter_rules(drafter.name, depth, drafter.depths, manifest)
        rules += _optional_rules(drafter)
        for rule in manifest.rules:
            if rule.levels is None:
                for depth in range(1, drafter.depths + 1):
                    rules += _rule_rules(rule.name, drafter, depth, manifest)
            else:
                rules += _tree_rules(rule.name, drafter.name, rule.levels, manifest)
    _raise_first(table, rules, path)


def token_table_columns(manifest: Manifest) -> Iterator[tuple[str, pl.DataType]]:
    """Names and types of the columns of the manifest's token shards."""
    return token_columns(
        [(drafter.name, drafter.depths) for drafter in manifest.drafters],
        [(rule.name, rule.levels) for rule in manifest.rules],
        [
            (statistic, drafter.name)
            for drafter in manifest.drafters
            for statistic in drafter.statistics
        ],
    )


def _drafter_rules(name: str, depth: int, depths: int, manifest: Manifest) -> Iterator[Check]:
    log_q, gamma, match, p_top = (
        statistic_column(statistic, name, depth, depths)
        for statistic in ("log_q", "gamma", "match", "p_top")
    )
    slack = consistency_slack(manifest)
    emitted = pl.min_horizontal("log_p", log_q).exp()
    p, q = pl.col("log_p").exp(), pl.col(log_q).exp()
    yield log_q, ~(pl.col(log_q) <= 0) | pl.col(log_q).is_nan(), "must be <= 0 and not NaN"
    for column in (gamma, p_top):
        yield (
            column,
            ~pl.col(column).is_between(0, 1) | pl.col(column).is_nan(),
            ("must lie in [0, 1]"),
        )
    if manifest.sampling.temperature == 0:
        yield (
            log_q,
            (pl.col(log_q) == 0) != pl.col(match),
            (f'disagrees with "{match}": at temperature 0 q is 1 on its argmax and 0 elsewhere'),
        )
        for column in (gamma, p_top):
            yield (
                column,
                pl.col(column) != pl.col(match).cast(pl.Float32),
                (f'differs from "{match}", but at temperature 0 both say the same'),
            )
    yield (
        gamma,
        pl.col(gamma) < emitted - slack,
        (f'is below min(p, q) of the emitted token, from "log_p" and "{log_q}"'),
    )
    yield (
        gamma,
        pl.col(gamma) > 1 - (p - q).abs() + slack,
        (f'is above 1 - |p - q| of the emitted token, from "log_p" and "{log_q}"'),
    )
    yield (
        p_top,
        pl.col(match) & ((pl.col(p_top) - p).abs() > slack),
        (f'differs from p of the emitted token though "{match}" is true'),
    )
    yield (
        p_top,
        ~pl.col(match) & (pl.col(p_top) + p > 1 + slack),
        (f'and p of the emitted token add up to more than 1 though "{match}" is false'),
    )


def _optional_rules(drafter: DrafterInfo) -> Iterator[Check]:
    """What is drafted, matched, or given a probability at a position must fit what is accepted."""
    found = {name: optional_column(name, drafter.name) for name in drafter.statistics}
    gamma = pl.col(statistic_column("gamma", drafter.name, 1, drafter.depths))
    top = statistic_column("p_top", drafter.name, 1, drafter.depths)
    for name, column in found.items():
        if name in BOUNDS:
            outside = gamma < pl.col(column) if name == "gamma_low" else gamma > pl.col(column)
            yield (
                column,
                ~pl.col(column).is_between(0, 1) | pl.col(column).is_nan(),
                ("must lie in [0, 1]"),
            )
            yield column, outside, f'must be on its side of "gamma/{drafter.name}"'
            continue
        if name in FEATURES:
            yield (
                column,
                ~(pl.col(column).is_finite() & (pl.col(column) >= 0)),
                ("must be finite and >= 0"),
            )
        yield (
            column,
            (pl.col(column) == 0) & (pl.col(top) > 0) & (name != "entropy"),
            (f'is 0, nothing proposed, but "{top}" is positive'),
        )
    if "q_top" in found:
        yield found["q_top"], pl.col(found["q_top"]) > 1, "must lie in [0, 1]"
    if {"drafted", "matched"} <= found.keys():
        yield (
            found["drafted"],
            (pl.col(found["drafted"]) > 0) != (pl.col(found["matched"]) > 0),
            (f'contradicts "{found["matched"]}": what is matched is drafted, nothing else'),
        )


def _rule_rules(rule: str, drafter: DrafterInfo, depth: int, manifest: Manifest) -> Iterator[Check]:
    """a is a share of p(x), and gamma the sum of p(v) a(v) over all tokens."""
    log_q, gamma, a = (
        statistic_column(statistic, drafter.name, depth, drafter.depths)
        for statistic in ("log_q", f"gamma.{rule}", f"a.{rule}")
    )
    slack, accepted = consistency_slack(manifest), pl.col("log_p").exp() * pl.col(a)
    for column in (gamma, a):
        yield (
            column,
            ~pl.col(column).is_between(0, 1) | pl.col(column).is_nan(),
            ("must lie in [0, 1]"),
        )
    yield (
        a,
        (pl.col(a) > 0) & (pl.col(log_q) == -math.inf),
        (f'is positive though "{log_q}" says that the token was no proposal'),
    )
    yield (
        gamma,
        pl.col(gamma) < accepted - slack,
        (f'is below p(x) a(x) of the emitted token, from "log_p" and "{a}"'),
    )
    yield (
        gamma,
        pl.col(gamma) > 1 - pl.col("log_p").exp() + accepted + slack,
        (f'is above 1 - p(x) (1 - a(x)) of the emitted token, from "log_p" and "{a}"'),
    )


def _tree_rules(rule: str, drafter: str, levels: int, manifest: Manifest) -> Iterator[Check]:
    """Nothing is known of a tree behind the node at which the text left it."""
    depth, nodes = (tree_column(statistic, rule, drafter, 1) for statistic in ("depth", "nodes"))
    yield depth, pl.col(depth) > levels, f"is deeper than the {levels} levels of the tree"
    yield depth, pl.col(depth) > pl.col(nodes), f'is more than the nodes drafted, "{nodes}"'
    yield depth, pl.col(depth) > pl.col("_left"), "runs beyond the end of the answer"
    for level in range(1, levels + 1):
        mass = tree_column("mass", rule, drafter, level)
        yield mass, ~pl.col(mass).is_between(0, 1) | pl.col(mass).is_nan(), "must lie in [0, 1]"
        yield (
            mass,
            (pl.col(mass) > 0) & (pl.col(depth) < level - 1),
            (f'is positive though the text left the tree before, at "{depth}"'),
        )
        if manifest.sampling.temperature == 0:
            yield (
                mass,
                pl.col(mass) != (pl.col(depth) >= level).cast(pl.Float32),
                (f'contradicts "{depth}": at temperature 0 all of p is on the text'),
            )


def consistency_slack(manifest: Manifest) -> float:
    """What rounding may add up to when two stored statistics are compared."""
    settings = PRECISIONS[manifest.precision]
    if settings is None:
        return 1e-4
    return 2.0 ** -settings["log"] + 2.0 ** -settings["probability"] + 1e-4


def _raise_first(table: pl.DataFrame, rules: list[Check], path: Path) -> None:
    """Evaluate all rules in one pass; raise for the first faulty row of the first broken rule."""
    faults = (
        table.lazy()
        .select([(fault.any()).alias(str(number)) for number, (_, fault, _) in enumerate(rules)])
        .collect()
    )
    for number, (column, fault, problem) in enumerate(rules):
        if faults[str(number)][0]:
            row = int(table.select(fault.arg_max()).item())
            value = table[column][row]
            shown = "" if isinstance(value, pl.Series) else f" {value!r}"
            raise TraceError(
                f'{path}: row {row}, column "{column}": value{shown} {problem}{_token(table, row)}'
            )


def _token(table: pl.DataFrame, row: int) -> str:
    """Which answer a row is of, and which token there, if the table holds tokens."""
    if "position" not in table.columns:
        return ""
    return f" (query {table['query'][row]}, position {table['position'][row]})"
