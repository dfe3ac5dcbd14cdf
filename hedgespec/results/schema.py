"""The columns of every result table: name, type, unit and meaning, said once.

What is written is put into this shape, what is read is checked against it, and the tables of
docs/results.md are made from it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np
import polars as pl

from hedgespec.results.keys import RunKey

# Before an arm's name: the columns of its rounds, of its weight, and of its seconds.
ROUNDS_OF, WEIGHT_OF = "rounds/", "weight/"
DRAFTING_OF, READING_OF = "draft_seconds/", "reading_seconds/"
PARTS = ("select", "draft", "verify", "evaluate", "learn")  # of a live round, each with its seconds
SECONDS_OF = "seconds_"


@dataclass(frozen=True)
class Column:
    """One column, or, if its name ends with "/", one for each arm.

    `key` columns together tell a table's rows apart. Of `averaged` ones readers take the mean over
    seeds. `timed` is what the clock said: it differs when the same is run again. `earlier` has the
    value of results that were made before there was the column, if such are read. What is there
    `partly` is null in the rows of a sweep's further runs, even of a setting that the first has.
    """

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str = ""
    key: bool = False
    averaged: bool = False
    timed: bool = False
    partly: bool = False
    earlier: tuple[Any, ...] = ()

    @property
    def of_each_arm(self) -> bool:
        """Whether it stands for a column per arm, called by the name and the arm's."""
        return self.name.endswith("/")


@dataclass(frozen=True)
class Table:
    """One table: what a row of it is, and its columns in order."""

    name: str
    row: str
    columns: Sequence[Column]

    @property
    def file(self) -> str:
        """Its file in the folder."""
        return f"{self.name}.parquet"

    @property
    def types(self) -> dict[str, pl.DataType]:
        """The type of each column but those of the arms."""
        return {column.name: column.dtype for column in self.columns if not column.of_each_arm}

    @property
    def keys(self) -> list[str]:
        """The columns that tell rows apart."""
        return [column.name for column in self.columns if column.key]

    @property
    def averaged(self) -> list[str]:
        """The columns that readers take the mean over seeds of."""
        return [column.name for column in self.columns if column.averaged]

    @property
    def timed(self) -> list[str]:
        """The columns that differ when the same is run again."""
        return [column.name for column in self.columns if column.timed]

    @property
    def uncertain(self) -> list[str]:
        """The columns in which two rows of one setting may differ."""
        return [column.name for column in self.columns if column.timed or column.partly]

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.types)

    def made(self, values: Mapping[str, Any]) -> pl.DataFrame:
        """The table of these columns, each a NumPy array, a Series or one value; NaN becomes null.

        Raises KeyError for a column that is not declared here, or lacks.
        """
        return self.stacked([values])

    def stacked(self, parts: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """What `made` makes of each of at least one, below each other, in far less time.

        A column of an arm is null in the parts that have no such arm.
        """
        chosen = self._chosen(dict.fromkeys(name for part in parts for name in part))
        for part in parts:
            if unknown := part.keys() - chosen.keys():
                raise KeyError(f"{self.name} has no column {', '.join(sorted(unknown))}")
        rows = np.array([_rows(part) for part in parts])
        of_arms = tuple(column.name for column in self.columns if column.of_each_arm)
        # Series by Series: a query plan for each of thousands of small tables takes longer.
        return pl.DataFrame(
            [
                _series(
                    name,
                    [part.get(name) if name.startswith(of_arms) else part[name] for part in parts],
                    rows,
                    dtype,
                )
                for name, dtype in chosen.items()
            ]
        )

    def lacking(self, table: pl.DataFrame) -> list[str]:
        """The columns that `table` should have and has not."""
        return [name for name in self.types if name not in table.columns]

    def completed(self, table: pl.DataFrame) -> pl.DataFrame:
        """`table`, made by an earlier version, with the columns that came since."""
        return table.with_columns(
            pl.lit(value, dtype=column.dtype).alias(column.name)
            for column in self.columns
            for value in column.earlier
            if column.name not in table.columns
        )

    def shaped(self, table: pl.DataFrame) -> pl.DataFrame:
        """The columns of `table` that are declared here, in order, each with its type."""
        return self.completed(table).select(
            pl.col(name).cast(dtype) for name, dtype in self._chosen(table.columns).items()
        )

    def _chosen(self, names: Collection[str]) -> dict[str, pl.DataType]:
        """The declared columns with their types, for each arm those of `names`."""
        return {
            name: column.dtype
            for column in self.columns
            for name in (
                [name for name in names if name.startswith(column.name)]
                if column.of_each_arm
                else [column.name]
            )
        }


def _rows(part: Mapping[str, Any]) -> int:
    """How long the arrays and Series are; 1 if there are none."""
    return next((len(values) for values in part.values() if _is_many(values)), 1)


def _is_many(values: object) -> bool:
    return isinstance(values, np.ndarray | pl.Series)


def _series(name: str, parts: Sequence[Any], rows: np.ndarray, dtype: pl.DataType) -> pl.Series:
    """A column of parts with so many rows each; NaN becomes null."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return pl.Series(name, np.concatenate(parts), nan_to_null=True).cast(dtype)
    if not any(map(_is_many, parts)):
        return pl.Series(name, list(parts), dtype).gather(np.repeat(np.arange(len(parts)), rows))
    return pl.concat(
        [
            pl.Series(name, part, nan_to_null=True).cast(dtype)
            if isinstance(part, np.ndarray)
            else part.alias(name).cast(dtype)
            if isinstance(part, pl.Series)
            else pl.Series(name, [part], dtype).new_from_index(0, int(count))
            for part, count in zip(parts, rows, strict=True)
        ]
    )


RUN = tuple(
    Column(
        item.name,
        **item.metadata,
        key=True,
        earlier=() if item.default is MISSING else (item.default,),
    )
    for item in fields(RunKey)
)
SEED = Column("seed", pl.Int32(), "seed of acceptance and selection; null if exact", key=True)
QUERY = (
    Column("query", pl.UInt32(), "number of the query in the trace, counted from 0", key=True),
    Column("query_id", pl.String(), "its id: QUESTION, or QUESTION/TURN of later turns"),
    Column("domain", pl.String(), "its domain"),
)
QUERY_NAMES = [column.name for column in QUERY]

SUMMARY = Table(
    "summary",
    "trace, selector, setting and seed",
    (
        *RUN,
        SEED,
        Column("queries", pl.Int64(), "queries of the trace"),
        Column("tokens", pl.Int64(), "emitted tokens of all queries", "tokens"),
        Column("rounds", pl.Float64(), "rounds of all queries", "rounds"),
        Column(
            "evaluations",
            pl.Float64(),
            "rounds before which drafters are evaluated, of all queries",
            "rounds",
        ),
        Column(
            "rounds_sd",
            pl.Float64(),
            "standard deviation of `rounds` over replays of this text; null if replayed",
            "rounds",
        ),
        Column("mat", pl.Float64(), "emitted tokens per round, pooled", "tokens/round"),
        Column("mat_per_query", pl.Float64(), "the same, mean over queries", "tokens/round"),
        Column(
            "regret_rounds",
            pl.Float64(),
            "rounds above the best fixed drafter of the query, "
            "summed over queries; both of the same seed, or both exact",
            "rounds",
        ),
        Column(
            "tokens_per_second",
            pl.Float64(),
            "what live decoding would reach, estimated from `costs`; null without",
            "tokens/s",
        ),
        Column(
            "rounds_per_second",
            pl.Float64(),
            "speed of the replay itself, compilation not counted",
            "rounds/s",
            timed=True,
        ),
        Column(
            "evaluated_drafters",
            pl.Float64(),
            "drafters evaluated, summed over `evaluations`",
            "drafters",
            earlier=(None,),
        ),
        Column(
            "acceptance_rate",
            pl.Float64(),
            "of a fixed drafter: [share of drafted tokens that is "
            "accepted](metrics.md#acceptance-in-engines-words), exact; else null",
            "probability",
            earlier=(None,),
        ),
        Column(
            "accepted_at",
            pl.List(pl.Float64()),
            "share of drafts whose k-th token is accepted, k = 1..K; else null",
            "probability",
            earlier=(None,),
        ),
        Column(
            "accepted_given",
            pl.List(pl.Float64()),
            "the same among drafts whose tokens before it are accepted; null where there are none",
            "probability",
            earlier=(None,),
        ),
        Column(
            "eal",
            pl.Float64(),
            "of a fixed drafter: expected tokens of a round, mean over the "
            "positions where it may start; loss `length` compares them. Else null",
            "tokens/round",
            earlier=(None,),
        ),
        Column(
            "seconds_per_token",
            pl.Float64(),
            "of a fixed drafter: a round's seconds over its "
            "expected tokens, mean over positions; loss `seconds` compares them. Else, and without "
            "costs, null",
            "s",
            earlier=(None,),
        ),
        Column(
            "tokens_per_second_low",
            pl.Float64(),
            "`tokens_per_second` with every part of "
            "the costs at the 90th percentile of its measurements; null without",
            "tokens/s",
            earlier=(None,),
        ),
        Column(
            "tokens_per_second_high",
            pl.Float64(),
            "the same with every part at its 10th percentile",
            "tokens/s",
            earlier=(None,),
        ),
        Column(
            "runnable",
            pl.Boolean(),
            "whether an engine can run it: it knows nothing before it is written or measured",
            earlier=(None,),
        ),
        Column(
            "by_seconds", pl.Boolean(), "whether its decisions depend on the costs", earlier=(None,)
        ),
    ),
)

PER_QUERY = Table(
    "per_query",
    "query, for each row of summary.parquet",
    (
        *RUN,
        SEED,
        *QUERY,
        Column("tokens", pl.Int64(), "emitted tokens", "tokens"),
        Column("rounds", pl.Float64(), "rounds, expected if exact", "rounds", averaged=True),
        Column("mat", pl.Float64(), "emitted tokens per round", "tokens/round"),
        Column(
            "regret_rounds",
            pl.Float64(),
            "rounds above the best fixed drafter's",
            "rounds",
            averaged=True,
        ),
        Column(
            "evaluations",
            pl.Float64(),
            "rounds before which drafters are evaluated",
            "rounds",
            averaged=True,
        ),
        Column(
            "seconds", pl.Float64(), "estimated seconds; null without costs", "s", averaged=True
        ),
        Column(
            "evaluation_seconds",
            pl.Float64(),
            "part of `seconds` in which other drafters are evaluated",
            "s",
            averaged=True,
        ),
        Column(
            "draft_seconds",
            pl.Float64(),
            "[part in which drafts are made](metrics.md#seconds-of-rounds); null without costs",
            "s",
            averaged=True,
            earlier=(None,),
        ),
        Column(
            "target_seconds",
            pl.Float64(),
            "part of the target's passes",
            "s",
            averaged=True,
            earlier=(None,),
        ),
        Column(
            "reading_seconds",
            pl.Float64(),
            "part in which drafters read verified tokens, to begin a draft or to be evaluated",
            "s",
            averaged=True,
            earlier=(None,),
        ),
        Column(ROUNDS_OF, pl.Float64(), "rounds of this arm", "rounds"),
        Column(
            DRAFTING_OF,
            pl.Float64(),
            "part of `draft_seconds` of this arm; none without costs",
            "s",
        ),
        Column(
            READING_OF,
            pl.Float64(),
            "part of `reading_seconds` in which its drafter reads alone, "
            "under the first of its arms; the rest is read in one batch",
            "s",
        ),
        Column(
            "gamma",
            pl.Float64(),
            "mean of gamma_t over the answer's tokens (first draft depth); "
            "several drafters are weighted by their rounds",
            "probability",
            averaged=True,
        ),
        Column(
            "rounds_until_best",
            pl.Float64(),
            "[rounds until the best fixed drafter holds half of "
            "the weight](metrics.md#measures); null if it does not before the answer ends",
            "rounds",
        ),
        Column(
            "evaluated_drafters",
            pl.Float64(),
            "drafters evaluated, summed over `evaluations`",
            "drafters",
            averaged=True,
            earlier=(None,),
        ),
        Column(
            "token_regret",
            pl.Float64(),
            "[token-acceptance regret](metrics.md#measures) against the best fixed drafter",
            "tokens",
            averaged=True,
            earlier=(None,),
        ),
        Column(
            "length_regret",
            pl.Float64(),
            "[length regret](metrics.md#measures) against the best fixed drafter",
            "tokens",
            averaged=True,
            earlier=(None,),
        ),
        Column(
            "round_tokens",
            pl.List(pl.UInt16()),
            "tokens of each round of one replay with seed 0, "
            "in a sweep's first run, of selectors that are `runnable` and choose between drafters; "
            "else null",
            "tokens",
            partly=True,
            earlier=(None,),
        ),
        Column(
            "round_drafter",
            pl.List(pl.String()),
            "arm of each of these rounds",
            partly=True,
            earlier=(None,),
        ),
        Column(
            "round_weight",
            pl.List(pl.Float32()),
            "probability of that arm in the play, if the "
            "play depends on the position only (`mode` exact); else null",
            "probability",
            partly=True,
            earlier=(None,),
        ),
    ),
)

CURVES = Table(
    "curves",
    "trace, selector, setting and up to 64 positions, of cumulative regret",
    (
        *RUN,
        Column(
            "position",
            pl.Int64(),
            "tokens of the answer; a query that has ended keeps its final values",
            "tokens",
            key=True,
        ),
        Column(
            "rounds",
            pl.Float64(),
            "rounds begun before that position, mean over queries, seeds averaged first",
            "rounds",
        ),
        Column("regret_rounds", pl.Float64(), "`rounds` minus the best fixed drafter's", "rounds"),
        Column(
            "low",
            pl.Float64(),
            "lower end of its 95 % t interval over questions; null for fewer than three",
            "rounds",
        ),
        Column("high", pl.Float64(), "upper end", "rounds"),
        Column("seconds", pl.Float64(), "estimated seconds of `rounds`; null without costs", "s"),
        Column(
            "regret_seconds",
            pl.Float64(),
            "`seconds` minus those of the fixed drafter with the fewest *rounds*",
            "s",
        ),
        Column(
            "seconds_low",
            pl.Float64(),
            "lower end of its 95 % t interval over questions; null for fewer than three",
            "s",
        ),
        Column("seconds_high", pl.Float64(), "upper end", "s"),
    ),
)

ANSWER = Table(
    "answer",
    "trace, selector, setting and token of one answer, replayed with seed 0",
    (
        *RUN,
        *QUERY,
        Column("position", pl.Int32(), "tokens of the answer before it", key=True),
        Column("token", pl.UInt32(), "the token's id"),
        Column("round", pl.Int32(), "number of its round, counted from 0"),
        Column("drafter", pl.String(), "the round's drafter"),
        Column("gamma", pl.Float32(), "gamma of that drafter at this token", "probability"),
        Column(
            WEIGHT_OF,
            pl.Float32(),
            "probability of this arm in the play of a round from here, if "
            "the play depends on the position only (`mode` exact); else null",
            "probability",
        ),
    ),
)

TABLES = (SUMMARY, PER_QUERY, CURVES, ANSWER)

LIVE_ROUNDS = Table(
    "rounds",
    "round of `hedgespec live`",
    (
        Column("query", pl.Int64(), "number of the query, counted from 0", key=True),
        Column("position", pl.Int64(), "tokens of the answer before the round", "tokens", key=True),
        Column("drafter", pl.String(), "the drafter that was chosen, or `none`"),
        Column(
            "probability",
            pl.Float64(),
            "probability of choosing it and its draft length",
            "probability",
        ),
        Column(
            "weights",
            pl.List(pl.Float64()),
            "the whole play, in the arms' order: the drafters; "
            "with `--arm-lengths` first `none` if it is an arm, then each drafter with each draft "
            "length",
            "probability",
        ),
        Column("evaluated", pl.Boolean(), "whether drafters were evaluated before the round"),
        Column("drafted", pl.Int64(), "tokens drafted", "tokens"),
        Column("emitted", pl.Int64(), "tokens emitted", "tokens"),
        *(
            Column(
                f"{SECONDS_OF}{part}",
                pl.Float64(),
                f"wall-clock time of the part `{part}`",
                "s",
                timed=True,
            )
            for part in PARTS
        ),
        Column(
            "evaluated_set",
            pl.List(pl.String()),
            "the drafters that were evaluated before the round",
            earlier=(None,),
        ),
        Column("arm", pl.String(), "the drafter, with `--arm-lengths` DRAFTER*K", earlier=(None,)),
    ),
)
LIVE_LOSSES = Table(
    "losses",
    "loss that the selector of `hedgespec live` learned, in that order",
    (
        Column("query", pl.Int64(), "number of the query, counted from 0", key=True),
        Column("position", pl.Int64(), "the token where a round would start", "tokens", key=True),
        Column(
            "losses",
            pl.List(pl.Float64()),
            "losses of all arms, in their order, as learned",
            "the [loss](metrics.md#losses)",
        ),
    ),
)
