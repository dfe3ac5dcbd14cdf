"""Results of one `hedgespec sim` run, read, checked and averaged over seeds."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hedgespec.analysis.tables import SETTING, read_results, whose_seconds
from hedgespec.errors import HedgespecError

QUERY = ["query", "query_id", "domain"]
MEANS = ["rounds", "regret_rounds", "gamma", "seconds", "evaluation_seconds"]  # over seeds
COLUMNS = {
    "summary": [*SETTING, "seed", "queries", "tokens", "rounds", "mat", "regret_rounds",
                "tokens_per_second"],
    "per_query": [*SETTING, "seed", *QUERY, "tokens", "rounds", "mat", "regret_rounds",
                  "seconds", "evaluation_seconds", "gamma", "rounds_until_best"],
    "curves": [*SETTING, "position", "rounds", "regret_rounds", "low", "high", "seconds",
               "regret_seconds", "seconds_low", "seconds_high"],
    "answer": [*SETTING, *QUERY, "position", "token", "round", "drafter", "gamma"],
}
POOL = re.compile(r"(?P<base>.+)\.n(?P<drafters>\d+)")  # docs/metrics.md#pools-of-other-sizes
# docs/metrics.md#draft-lengths-as-arms
ARM = re.compile(r"((?:fixed:)?[a-z0-9._-]+)(?:@([a-z0-9:._-]+))?(?:\*(\d+))?")
HINDSIGHT = "hindsight"
PROMPT = "prompt"
CHOSEN = "chosen"  # feedback of bandits
USUAL_FEEDBACK = ["queued", CHOSEN, "none", PROMPT, HINDSIGHT]
USUAL_LOSS = ["length:gamma", "emitted", "none"]
FIXED = "fixed:"
ROUNDS, WEIGHT = "rounds/", "weight/"  # before a drafter's name: columns of its rounds, its weight


@dataclass(frozen=True)
class QueryResults:
    """The queries of one trace under every setting that was run on it.

    `settings` has S rows; `tokens` and `domain` have shape (Q), `rounds`, `regret`, `gamma`,
    `seconds` and `evaluation_seconds` (Q, S), means over seeds. `gamma` is the mean over the
    answer's tokens of a drafter's acceptance probability; of several drafters they are weighted by
    their rounds. `seconds` are estimated from the trace's costs, NaN without;
    `evaluation_seconds` are those of them in which other drafters are evaluated.
    """

    settings: pl.DataFrame
    query_id: np.ndarray
    domain: np.ndarray
    tokens: np.ndarray
    rounds: np.ndarray
    regret: np.ndarray
    gamma: np.ndarray
    seconds: np.ndarray
    evaluation_seconds: np.ndarray

    @property
    def domains(self) -> list[str]:
        """Names of the domains, in order of appearance."""
        return list(dict.fromkeys(self.domain.tolist()))


class ResultSet:
    """A results folder. Raises HedgespecError if it is not one, or is empty or inconsistent."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.provenance = _read_provenance(folder / "run.json")
        self.summary, per_query, self.curves, self.answer = (
            _read(folder, name) for name in COLUMNS)
        if self.summary.is_empty() or per_query.is_empty():
            raise HedgespecError(f"{folder}: the results are empty; there is nothing to report")
        self._drafters = _drafter_counts(per_query)
        self._until_best = per_query.select(*SETTING, "seed", "query", "rounds_until_best")
        self._queries = per_query.group_by(*SETTING, *QUERY, maintain_order=True).agg(
            pl.col("tokens").first(), pl.col(MEANS).mean())
        self._answers: dict[str, QueryResults] = {}
        unknown = {base_trace(name) for name in self.traces} - set(self.hashes)
        if unknown:
            raise HedgespecError(
                f"{folder / 'run.json'}: does not name the traces {', '.join(sorted(unknown))} "
                "of the tables; the folder holds files of different runs")

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
                    f"{self.folder / 'run.json'}: two versions of the trace {name} are mixed "
                    f"({found[name][:12]} and {digest[:12]}); replay one of them anew")
        return found

    def whose_seconds(self, traces: Iterable[str]) -> str:
        """Of which device, dtype and way of evaluation the costs of `traces` are; empty without."""
        names = set(traces)  # pools of other sizes have no costs, whatever their trace has
        return whose_seconds(trace for trace in self.provenance["traces"]
                             if trace["name"] in names)

    def usual(self, trace: str) -> str:
        """The draft length and rule, or the arms, that most settings of `trace` have, in words."""
        rows = self.summary.filter(pl.col("trace") == trace)
        length, rule, arms = _common_lengths(rows.unique(SETTING, maintain_order=True)).row(0)[1:]
        return f"{_arms(arms) if arms else f'K={length}'}, {rule}"

    @cached_property
    def settings(self) -> pl.DataFrame:
        """A row per setting: its columns, `label`, `usual`, `how`, and means over seeds.

        The means are `mat`, `regret` (rounds per query) and `tokens_per_second`, over mean seconds.
        `setting` is what sets it apart from the trace's usual one, empty for nothing, and `label`
        the selector with that in brackets; `usual` is true of at most one row per trace and
        selector.
        """
        rows = self.summary.group_by(SETTING, maintain_order=True).agg(
            pl.col("seed").n_unique().alias("seeds"), pl.col("queries").first(),
            pl.col("mat").mean(),
            (1 / (1 / pl.col("tokens_per_second")).mean()).alias("tokens_per_second"),
            (pl.col("regret_rounds") / pl.col("queries")).mean().alias("regret"))
        rows = rows.join(_common_lengths(rows), on="trace", how="left", maintain_order="left")
        apart = [_apart(row) for row in rows.iter_rows(named=True)]
        rows = rows.with_columns(pl.Series("setting", apart, dtype=pl.String)).with_columns(
            pl.when(pl.col("setting") == "").then("selector")
            .otherwise(pl.format("{} ({})", "selector", "setting")).alias("label"),
            pl.when(pl.col("mode") == "exact").then(pl.lit("exact"))
            .otherwise(pl.format("{} seeds", "seeds")).alias("how"),
        ).with_row_index("row")
        # Where a setting was both computed exactly and replayed, the exact one is shown.
        usual = rows.sort(pl.col("label") != pl.col("selector"), pl.col("mode") != "exact", "row"
                          ).unique(["trace", "selector"], keep="first")["row"]
        return rows.with_columns(pl.col("row").is_in(usual.implode()).alias("usual")).drop(
            "row", "usual_length", "usual_rule", "usual_arms")

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
        rows = self._until_best.join(setting, on=SETTING, nulls_equal=True).sort("query", "seed")
        found: np.ndarray = rows["rounds_until_best"].to_numpy()
        return found.reshape(rows["query"].n_unique(), -1)

    def drafters(self, trace: str) -> int:
        """Number of drafters of a trace's pool, however many arms they make."""
        return self._drafters[trace]

    def _read_answers(self, trace: str) -> QueryResults:
        settings = self.settings.filter(pl.col("trace") == trace).with_row_index("column")
        rows = self._queries.filter(pl.col("trace") == trace).join(
            settings.select(*SETTING, "column"), on=SETTING, nulls_equal=True,
        ).sort("column", "query")
        shape = (len(settings), -1)
        queries = rows["query"].to_numpy()
        if len(rows) % len(settings) or (queries.reshape(shape) != queries.reshape(shape)[0]).any():
            raise HedgespecError(
                f"{self.folder}: settings of {trace} were replayed on different queries; "
                "run `hedgespec sim` again")
        one = rows.head(len(rows) // len(settings))
        means = [rows[name].to_numpy().reshape(shape).T for name in MEANS]
        return QueryResults(settings.drop("column"), one["query_id"].to_numpy(),
                       one["domain"].to_numpy(), one["tokens"].to_numpy(), *means)


def base_trace(name: str) -> str:
    """The trace that a pool of another size was made from; else the name itself."""
    match = POOL.fullmatch(name)
    return match["base"] if match else name


def check_same_traces(one: ResultSet, other: ResultSet) -> None:
    """Raise HedgespecError unless both runs replayed the same versions of the traces they share."""
    shared = set(one.hashes) & set(other.hashes)
    if not shared:
        raise HedgespecError(
            f"{one.folder} and {other.folder} have no trace in common; only results of the same "
            "traces can be compared")
    differing = sorted(name for name in shared if one.hashes[name] != other.hashes[name])
    if differing:
        raise HedgespecError(
            f"{one.folder} and {other.folder}: their versions of {', '.join(differing)} differ "
            "(manifest_sha256 in run.json); replay the same trace for both")


def _read(folder: Path, name: str) -> pl.DataFrame:
    table = read_results(folder, name)
    missing = [column for column in COLUMNS[name] if column not in table.columns]
    if missing:
        raise HedgespecError(
            f"{folder / name}.parquet: lacks the columns {', '.join(missing)}; make the results "
            "anew with this version's `hedgespec sim`")
    # Runs of a sweep may share settings; their rows are then the same.
    table = table.select(*COLUMNS[name], pl.selectors.starts_with(ROUNDS, WEIGHT)).unique(
        maintain_order=True)
    key = [column for column in (*SETTING, "seed", "query", "position") if column in table.columns]
    twice = table.filter(table.select(key).is_duplicated())
    if not twice.is_empty():
        raise HedgespecError(
            f"{folder / name}.parquet: {twice['selector'][0]} on {twice['trace'][0]} has two "
            "different results for one setting; results of different runs are mixed")
    return table


def _read_provenance(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise HedgespecError(f"{path}: missing; name a folder that `hedgespec sim` has made")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for trace in found["traces"]:
            trace["name"], trace["manifest_sha256"]
        found["command"], found["created"], found["versions"], found["complete"]
    except (ValueError, TypeError, KeyError) as fault:
        raise HedgespecError(f"{path}: not a run.json of `hedgespec sim` ({fault!r})") from fault
    return found


def _drafter_counts(per_query: pl.DataFrame) -> dict[str, int]:
    arms = [name for name in per_query.columns if name.startswith(ROUNDS)]
    there = per_query.group_by("trace").agg(pl.col(arms).is_not_null().any())
    return {row["trace"]: len({arm_parts(arm.removeprefix(ROUNDS))[0] for arm in arms if row[arm]})
            for row in there.iter_rows(named=True)}


def arm_parts(arm: str) -> tuple[str, str]:
    """The drafter of an arm DRAFTER[@RULE][*K], and the rest in words: ", RULE, K=3".

    Other names come back whole. "fixed:" before the arm belongs to the drafter.
    """
    match = ARM.fullmatch(arm)
    if match is None:
        return arm, ""
    drafter, rule, length = match.groups()
    return drafter, f", {rule}" * bool(rule) + f", K={length}" * bool(length)


def _arms(asked: str) -> str:
    """The arms that `--arm-lengths` or `--arms` gave, in words."""
    arms = asked.split(" ")
    if all(arm.isdigit() for arm in arms):
        return f"arms: all drafters, K={' or '.join(arms)}"
    words = ("".join(arm_parts(arm)) for arm in arms)
    return f"arms: {'; '.join(re.sub('^all(?=,|$)', 'all drafters', arm) for arm in words)}"


def _common_lengths(settings: pl.DataFrame) -> pl.DataFrame:
    """Draft length, rule and arms that most settings of each trace have."""
    return (settings.group_by("trace", "draft_length", "rule", "arm_lengths",
                              maintain_order=True).len()
            .sort("len", "draft_length", descending=True, maintain_order=True)
            .unique("trace", keep="first", maintain_order=True)
            .select("trace", pl.col("draft_length").alias("usual_length"),
                    pl.col("rule").alias("usual_rule"),
                    pl.col("arm_lengths").alias("usual_arms")))


def _apart(row: dict[str, Any]) -> str:
    """What is not usual about a setting."""
    parts = []
    if row["feedback"] not in USUAL_FEEDBACK:
        parts.append(row["feedback"])
    if row["loss"] not in USUAL_LOSS:
        parts.append(row["loss"])
    if row["arm_lengths"] != row["usual_arms"]:
        parts.append(_arms(row["arm_lengths"]) if row["arm_lengths"]
                     else f"arms: drafters, K={row['draft_length']}")
    elif row["draft_length"] != row["usual_length"]:
        parts.append(f"K={row['draft_length']}")
    if row["carry"] is not None:
        parts.append("carried over")
    if row["rule"] != row["usual_rule"]:
        parts.append(row["rule"])
    return ", ".join(parts)
