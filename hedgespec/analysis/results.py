"""Results of one `hedgespec sim` run, checked and averaged over seeds."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hedgespec.analysis.overview import whose_seconds
from hedgespec.errors import HedgespecError, NothingComparedError
from hedgespec.results.keys import BASIS, SETTING
from hedgespec.results.labels import (
    CENSORED,
    CHOSEN,
    EMITTED,
    EVERY_DRAFTER,
    FIXED,
    HINDSIGHT,
    NONE,
    PROMPT,
    QUEUED,
    ArmLabel,
    PoolLabel,
    SelectorLabel,
    default_loss,
    questions,
    split_arms,
    split_terms,
)
from hedgespec.results.overview import means_over_seeds
from hedgespec.results.schema import (
    DRAFTING_OF,
    PER_QUERY,
    QUERY_NAMES,
    READING_OF,
    ROUNDS_OF,
    Table,
)
from hedgespec.results.store import RUN_FILE, Results, TraceSource, read_results

USUAL_FEEDBACK = [QUEUED, CHOSEN, NONE, PROMPT, HINDSIGHT]
SECONDS_PARTS = ("draft", "target", "reading")  # whose costs can be moved
Basis = tuple[str, int]  # whose costs by name, and a batch


@dataclass(frozen=True)
class QueryResults:
    """The queries of one trace under every setting that was run on it.

    `settings` has S rows; `question` (the number of the question that a query belongs to), `tokens`
    and `domain` have shape (Q), `rounds`, `regret`, `gamma`, `evaluations`, `seconds` and
    `evaluation_seconds` (Q, S), means over seeds. `gamma` is the mean over the answer's tokens of a
    drafter's acceptance probability; of several drafters they are weighted by their rounds.
    `seconds` are estimated from the trace's costs, NaN without; `evaluation_seconds` are those of
    them in which other drafters are evaluated, before `evaluations` of the rounds. `parts` (Q, S)
    are those of each of SECONDS_PARTS, NaN if the results do not say.
    """

    settings: pl.DataFrame
    query_id: np.ndarray
    question: np.ndarray
    domain: np.ndarray
    tokens: np.ndarray
    rounds: np.ndarray
    regret: np.ndarray
    gamma: np.ndarray
    evaluations: np.ndarray
    seconds: np.ndarray
    evaluation_seconds: np.ndarray
    parts: dict[str, np.ndarray]

    @property
    def domains(self) -> list[str]:
        """Names of the domains, in order of appearance."""
        return list(dict.fromkeys(self.domain.tolist()))


class ResultSet:
    """The results in a folder, or in memory.

    `feedback` has the terms of each feedback setting: {"every": "4"} of "every:4". Seconds are
    under one basis, costs and a batch: `basis`, where a trace has it, else the trace's first;
    `bases` are all that there are, and `under` takes another. Raises HedgespecError if the folder
    holds no results, or they are empty or inconsistent.
    """

    def __init__(self, source: Path | Results, basis: Basis | None = None):
        found = source if isinstance(source, Results) else read_results(source)
        self.folder = source if isinstance(source, Path) else "the results"
        self.provenance = found.provenance
        self._tables = [_checked(table, rows, self.folder) for table, rows in found.tables()]
        self.bases: list[Basis] = self._tables[0].select(BASIS).unique(maintain_order=True).rows()
        self._show(basis)

    def _show(self, basis: Basis | None) -> None:
        """Have the rows of the tables that are under one basis."""
        self._shown = _first_bases(self._tables[0], basis)
        self.summary, per_query, self.curves, self.answer = (
            rows.join(
                self._shown,
                on=self._shown.columns,
                how="semi",
                nulls_equal=True,
                maintain_order="left",
            )
            for rows in self._tables
        )
        if self.summary.is_empty() or per_query.is_empty():
            raise HedgespecError(
                f"{self.folder}: the results are empty; there is nothing to report"
            )
        self.feedback = {
            label: dict(split_terms(label)) for label in self.summary["feedback"].unique()
        }
        if set(self.traces) != set(per_query["trace"].unique()):
            raise HedgespecError(
                f"{self.folder}: its tables are of different traces; results of "
                "different runs are mixed"
            )
        self._drafters = _drafter_counts(per_query)
        self._until_best = per_query.select(
            *SETTING, "seed", "query", "rounds_until_best"
        ).partition_by("trace", as_dict=True)
        arms = pl.selectors.starts_with(ROUNDS_OF)
        self._arm_rounds = per_query.group_by(*SETTING, maintain_order=True).agg(
            pl.when(arms.count() > 0).then(arms.sum() / pl.col("seed").n_unique())
        )
        self._answers: dict[str, QueryResults] = {}
        unknown = {pool.trace if (pool := self.pool(name)) else name for name in self.traces} - set(
            self.hashes
        )
        if unknown:
            raise HedgespecError(
                f"{self.folder}: {RUN_FILE} does not name the traces "
                f"{', '.join(sorted(unknown))} of the tables; the folder holds files of different "
                "runs"
            )

    def basis_of(self, costs: str | None, batch: int | None) -> Basis:
        """The first basis of these, None for any. Raises HedgespecError if there is none."""
        for basis in self.bases:
            if costs in (None, basis[0]) and batch in (None, basis[1]):
                return basis
        there = "; ".join(f"{name or 'none'}, batch {texts}" for name, texts in self.bases)
        asked = [f"costs {costs}"] * (costs is not None) + [f"batch {batch}"] * (batch is not None)
        raise HedgespecError(
            f"{self.folder}: has no results under {', '.join(asked)}; there are costs {there}"
        )

    def under(self, basis: Basis) -> "ResultSet":
        """The same results under other costs. Raises HedgespecError if there are none of these."""
        basis = self.basis_of(*basis)
        if _first_bases(self._tables[0], basis).equals(self._shown):
            return self
        other = ResultSet.__new__(ResultSet)
        other.folder, other.provenance = self.folder, self.provenance
        other._tables, other.bases = self._tables, self.bases  # which were checked
        other._show(basis)
        return other

    def basis(self, trace: str) -> Basis:
        """What is shown of a trace."""
        [found] = self._shown.filter(pl.col("trace") == trace).select(BASIS).rows()
        return found

    def bases_beside(self, trace: str) -> list[Basis]:
        """The shown costs of a trace at every batch that there is, least first."""
        there = self._tables[0].filter(
            pl.col("trace") == trace, pl.col("costs") == self.basis(trace)[0]
        )
        there = there.select(BASIS).unique()
        return there.sort("batch").rows()

    @cached_property
    def traces(self) -> list[str]:
        """Names of the traces, pools of other sizes included, in the order of the results."""
        names: list[str] = self.summary["trace"].unique(maintain_order=True).to_list()
        return names

    @cached_property
    def hashes(self) -> dict[str, str]:
        """sha256 of each trace's manifest. Raises HedgespecError for two versions of a trace."""
        found: dict[str, str] = {}
        for trace in self.provenance["traces"]:
            name, digest = trace["name"], trace["manifest_sha256"]
            if found.setdefault(name, digest) != digest:
                raise HedgespecError(
                    f"{self.folder}: {RUN_FILE}: two versions of the trace {name} are mixed "
                    f"({found[name][:12]} and {digest[:12]}); replay one of them anew"
                )
        return found

    def pool(self, trace: str) -> PoolLabel | None:
        """What a trace was made from, if its pool has another size; None of one as recorded.

        A recorded trace's own name may look like a pool's.
        """
        return None if trace in self.hashes else PoolLabel.parse(trace)

    def whose_seconds(self, traces: Iterable[str]) -> str:
        """Of which device, dtype, engine and batch the costs of `traces` are; empty without."""
        return whose_seconds(self.cost_sources(traces))

    def cost_sources(self, traces: Iterable[str]) -> list[TraceSource]:
        """Of each of `traces` its name and the costs shown, none or one."""
        names = set(traces)  # pools of other sizes have no costs, whatever their trace has
        shown = {trace: basis for trace, *basis in self._shown.rows()}
        return [
            TraceSource(
                name=trace["name"],
                costs=[
                    costs
                    for costs in trace.get("costs", [])
                    if [costs["name"], costs["batch"]] == shown.get(trace["name"])
                ],
            )
            for trace in self.provenance["traces"]
            if trace["name"] in names
        ]

    def usual(self, trace: str) -> str:
        """The draft length and rule, or the arms, that most settings of `trace` have, in words."""
        rows = self.summary.filter(pl.col("trace") == trace)
        length, rule, arms = _common_lengths(rows.unique(SETTING, maintain_order=True)).row(0)[1:]
        return f"{_arms(arms) if arms else f'K={length}'}, {rule}"

    @cached_property
    def settings(self) -> pl.DataFrame:
        """A row per setting: its columns, `label`, `usual`, `how`, and means over seeds.

        The means are `mat`, `regret` (rounds per query) and `tokens_per_second`, over mean seconds,
        with the spread that the costs give it. `own_loss` is the loss where it is not the setting's
        default, else empty.
        `setting` is what sets it apart from the trace's usual one, empty for nothing, and `label`
        the selector with that in brackets; `usual` is true of at most one row per trace and
        selector.
        """
        rows = (
            self.summary.group_by(SETTING, maintain_order=True)
            .agg(
                pl.col("seed").n_unique().alias("seeds"),
                pl.col("queries").first(),
                *means_over_seeds(),
                pl.col("eal", "seconds_per_token", "runnable", "by_seconds").first(),
            )
            .rename({"regret_per_query": "regret"})
        )
        rows = rows.join(_common_lengths(rows), on="trace", how="left", maintain_order="left")
        apart = [_apart(row) for row in rows.iter_rows(named=True)]
        own = [_own_loss(row) for row in rows.iter_rows(named=True)]
        rows = rows.with_columns(pl.Series("own_loss", own, dtype=pl.String))
        rows = (
            rows.with_columns(pl.Series("setting", apart, dtype=pl.String))
            .with_columns(
                pl.when(pl.col("setting") == "")
                .then("selector")
                .otherwise(pl.format("{} ({})", "selector", "setting"))
                .alias("label"),
                pl.when(pl.col("mode") == "exact")
                .then(pl.lit("exact"))
                .otherwise(pl.format("{} seeds", "seeds"))
                .alias("how"),
            )
            .with_row_index("row")
        )
        # Where a setting was both computed exactly and replayed, the exact one is shown.
        usual = rows.sort(
            pl.col("label") != pl.col("selector"), pl.col("mode") != "exact", "row"
        ).unique(["trace", "selector"], keep="first")["row"]
        return rows.with_columns(pl.col("row").is_in(usual.implode()).alias("usual")).drop(
            "row", "usual_length", "usual_rule", "usual_arms"
        )

    def answers(self, trace: str) -> QueryResults:
        """The queries of `trace`. Raises HedgespecError if settings differ in their queries."""
        if trace not in self._answers:
            self._answers[trace] = self._read_answers(trace)
        return self._answers[trace]

    def until_best(self, trace: str, column: int) -> np.ndarray:
        """Rounds of each query until its best drafter ran in half of them, (Q, seeds).

        `column` is that of a setting in the answers of `trace`. NaN: not before the answer's end.
        """
        setting = self.answers(trace).settings.select(SETTING)[column]
        rows = self._until_best[trace,].join(setting, on=SETTING, nulls_equal=True)
        rows = rows.sort("query", "seed")
        found: np.ndarray = rows["rounds_until_best"].to_numpy()
        return found.reshape(rows["query"].n_unique(), -1)

    def arm_rounds(self, trace: str) -> pl.DataFrame:
        """Rounds of all queries by `selector`, at its usual setting, and `arm`; means over seeds."""
        usual = self.settings.filter(pl.col("usual"), pl.col("trace") == trace).select(SETTING)
        rows = usual.join(
            self._arm_rounds, on=SETTING, how="left", nulls_equal=True, maintain_order="left"
        )
        long = rows.unpivot(
            index=["trace", "selector"],
            variable_name="arm",
            value_name="rounds",
            on=pl.selectors.starts_with(ROUNDS_OF),
        ).drop_nulls("rounds")
        order = {name: i for i, name in enumerate(usual["selector"])}
        return long.with_columns(pl.col("arm").str.strip_prefix(ROUNDS_OF)).sort(
            pl.col("selector").replace_strict(order, return_dtype=pl.Int64), maintain_order=True
        )

    def rounds(self, trace: str, selectors: Collection[str]) -> pl.DataFrame:
        """The rounds of one replay of `selectors` at their usual settings, a row per query, where
        they were kept: `selector`, `query_id` and the columns round_*."""
        usual = self.settings.filter(
            pl.col("usual"), pl.col("trace") == trace, pl.col("selector").is_in(list(selectors))
        ).select(SETTING)
        return self._runs(
            usual, "query_id", "round_tokens", "round_drafter", "round_weight"
        ).drop_nulls("round_tokens")

    def drafter_seconds(
        self, trace: str, columns: Collection[int]
    ) -> dict[int, dict[str, np.ndarray]]:
        """Of some settings in the answers of `trace`, by column, the seconds in which each drafter
        drafts and in which it reads alone, (Q, 2), means over seeds; nothing where the results do
        not say."""
        settings = (
            self.answers(trace)
            .settings.select(SETTING)
            .with_row_index("column")
            .filter(pl.col("column").is_in(list(columns)))
        )
        seconds = pl.selectors.starts_with(DRAFTING_OF, READING_OF)
        means = (
            self._runs(settings, "query", seconds)
            .group_by("column", "query")
            .agg(seconds.mean())
            .sort("column", "query")
        )
        return {
            column: _by_drafter(of_setting.drop("column", "query"))
            for (column,), of_setting in means.group_by("column")
        }

    def only_arm(self, trace: str, selector: str) -> str | None:
        """The arm that drafts all rounds of a selector; None of several."""
        rows = self.arm_rounds(trace).filter(pl.col("selector") == selector, pl.col("rounds") > 0)
        return str(rows["arm"][0]) if len(rows) == 1 else None

    def drafters(self, trace: str) -> int:
        """Number of drafters of a trace's pool, however many arms they make."""
        return self._drafters[trace]

    def _runs(self, settings: pl.DataFrame, *columns: str | pl.Expr) -> pl.DataFrame:
        """These `columns` of the table PER_QUERY where it is of `settings`, beside theirs."""
        rows = self._tables[1].select(*SETTING, *columns)
        return rows.join(settings, on=SETTING, nulls_equal=True, maintain_order="left")

    def _read_answers(self, trace: str) -> QueryResults:
        settings = self.settings.filter(pl.col("trace") == trace).with_row_index("column")
        rows = (
            self._runs(
                settings.select(*SETTING, "column"), *QUERY_NAMES, "tokens", *PER_QUERY.averaged
            )
            .group_by("column", *QUERY_NAMES)
            .agg(pl.col("tokens").first(), pl.col(PER_QUERY.averaged).mean())
            .sort("column", "query")
        )
        shape = (len(settings), -1)
        queries = rows["query"].to_numpy()
        if (
            rows.is_empty()
            or len(rows) % len(settings)
            or (queries.reshape(shape) != queries.reshape(shape)[0]).any()
        ):
            raise HedgespecError(
                f"{self.folder}: settings of {trace} were replayed on different queries; "
                "run `hedgespec sim` again"
            )
        one = rows.head(len(rows) // len(settings))
        means = {column: rows[column].to_numpy().reshape(shape).T for column in PER_QUERY.averaged}
        return QueryResults(
            settings.drop("column"),
            one["query_id"].to_numpy(),
            np.array(questions(one["query_id"].to_list())),
            one["domain"].to_numpy(),
            one["tokens"].to_numpy(),
            means["rounds"],
            means["regret_rounds"],
            means["gamma"],
            means["evaluations"],
            means["seconds"],
            means["evaluation_seconds"],
            {part: means[f"{part}_seconds"] for part in SECONDS_PARTS},
        )


def usual_losses(feedback: str, timed: bool) -> list[str]:
    """The labels of losses that need no mention; `timed` says whether costs are known."""
    cut = CENSORED in dict(split_terms(feedback))
    return [default_loss(cut, timed), EMITTED, NONE]


def _first_bases(summary: pl.DataFrame, basis: Basis | None) -> pl.DataFrame:
    """Trace and basis of the rows to be shown, in the order of the traces."""
    found = summary.select("trace", *BASIS).unique(maintain_order=True)
    if basis is not None:
        asked = (pl.col("costs") == basis[0]) & (pl.col("batch") == basis[1])
        names = found["trace"].unique(maintain_order=True)
        found = found.sort(pl.col("trace").cast(pl.Enum(names)), ~asked, maintain_order=True)
    return found.unique("trace", keep="first", maintain_order=True)


def of_all(domains: Collection[str | None]) -> str:
    """How the total over domains is shown. In data it has no domain: one may be called "all"."""
    shown = "all"
    while shown in domains:
        shown += " domains"
    return shown


def check_same_traces(one: ResultSet, other: ResultSet) -> None:
    """Raise HedgespecError unless both runs replayed the same versions of the traces they share.

    It is a NothingComparedError where they share none.
    """
    shared = set(one.hashes) & set(other.hashes)
    if not shared:
        raise NothingComparedError(
            f"{one.folder} and {other.folder} have no trace in common; only results of the same "
            "traces can be compared"
        )
    differing = sorted(name for name in shared if one.hashes[name] != other.hashes[name])
    if differing:
        raise HedgespecError(
            f"{one.folder} and {other.folder}: their versions of {', '.join(differing)} differ "
            "(manifest_sha256 in run.json); replay the same trace for both"
        )


def _checked(table: Table, rows: pl.DataFrame, where: Path | str) -> pl.DataFrame:
    """The rows of a table, each once. Raises HedgespecError for two results of one setting."""
    shared = rows.select(table.keys).is_duplicated()
    if not shared.any():
        return rows
    # Runs of a sweep may share settings; their rows are then the same, but for the clock's and for
    # what the first run keeps more of. To compare the columns of all rows takes seconds.
    once = (
        rows.with_row_index("row")
        .filter(shared)
        .unique(pl.exclude("row", *table.uncertain), keep="first", maintain_order=True)
    )
    twice = once.filter(once.select(table.keys).is_duplicated())
    if not twice.is_empty():
        raise HedgespecError(
            f"{where}: {table.file}: {twice['selector'][0]} on {twice['trace'][0]} has two "
            "different results for one setting; results of different runs are mixed"
        )
    kept = ~shared.to_numpy()
    kept[once["row"]] = True
    return rows.filter(kept)


def _drafter_counts(per_query: pl.DataFrame) -> dict[str, int]:
    arms = [name for name in per_query.columns if name.startswith(ROUNDS_OF)]
    there = per_query.group_by("trace").agg(pl.col(arms).is_not_null().any())
    return {
        row["trace"]: len(
            {arm_parts(arm.removeprefix(ROUNDS_OF))[0] for arm in arms if row[arm]} - {NONE}
        )
        for row in there.iter_rows(named=True)
    }


def _by_drafter(seconds: pl.DataFrame) -> dict[str, np.ndarray]:
    """Of the columns of arms, null of arms that are not there, those of their drafters, (Q, 2)."""
    found: dict[str, np.ndarray] = {}
    for place, prefix in enumerate((DRAFTING_OF, READING_OF)):
        for column in seconds.select(pl.selectors.starts_with(prefix)):
            if column.null_count() == 0:
                drafter, _ = arm_parts(column.name.removeprefix(prefix))
                found.setdefault(drafter, np.zeros((len(column), 2)))[:, place] += column.to_numpy()
    return found


def arm_parts(name: str) -> tuple[str, str]:
    """The drafter of an arm, or of fixed:ARM, and the rest in words: ", RULE, K=3".

    Names of other selectors come back whole.
    """
    selector = SelectorLabel.parse(name)
    arm = ArmLabel.parse(name if selector.arm is None else selector.arm)
    if arm is None or selector.file or selector.routes:
        return name, ""
    prefix = FIXED if selector.arm is not None else ""
    rest = f", {arm.rule}" * bool(arm.rule)
    return f"{prefix}{arm.drafter}", rest + (f", K={arm.length}" if arm.length else "")


def _arms(asked: str) -> str:
    """The arms that `--arm-lengths` or `--arms` gave, in words."""
    arms = split_arms(asked)
    if all(arm.isdigit() for arm in arms):
        return f"arms: all drafters, K={' or '.join(arms)}"
    parts = [arm_parts(arm) for arm in arms]
    words = (
        "all drafters" + rest if drafter == EVERY_DRAFTER else drafter + rest
        for drafter, rest in parts
    )
    return f"arms: {'; '.join(words)}"


def _common_lengths(settings: pl.DataFrame) -> pl.DataFrame:
    """Draft length, rule and arms that most settings of each trace have."""
    return (
        settings.group_by("trace", "draft_length", "rule", "arm_lengths", maintain_order=True)
        .len()
        .sort("len", "draft_length", descending=True, maintain_order=True)
        .unique("trace", keep="first", maintain_order=True)
        .select(
            "trace",
            pl.col("draft_length").alias("usual_length"),
            pl.col("rule").alias("usual_rule"),
            pl.col("arm_lengths").alias("usual_arms"),
        )
    )


def _own_loss(row: dict[str, Any]) -> str:
    """The loss of a setting, if it is not its default."""
    usual = usual_losses(row["feedback"], row["tokens_per_second"] is not None)
    return "" if row["loss"] in usual else str(row["loss"])


def _apart(row: dict[str, Any]) -> str:
    """What is not usual about a setting."""
    parts = []
    if row["feedback"] not in USUAL_FEEDBACK:
        parts.append(row["feedback"])
    if _own_loss(row):
        parts.append(_own_loss(row))
    if row["arm_lengths"] != row["usual_arms"]:
        parts.append(
            _arms(row["arm_lengths"])
            if row["arm_lengths"]
            else f"arms: drafters, K={row['draft_length']}"
        )
    elif row["draft_length"] != row["usual_length"]:
        parts.append(f"K={row['draft_length']}")
    if row["carry"] is not None:
        parts.append("carried over")
    if row["rule"] != row["usual_rule"]:
        parts.append(row["rule"])
    return ", ".join(parts)
