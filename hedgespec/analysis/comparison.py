"""What differs between two runs of the same traces."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import mark
from hedgespec.analysis.overview import whose_seconds
from hedgespec.analysis.results import QueryResults, ResultSet, check_same_traces
from hedgespec.analysis.verdict import judge
from hedgespec.errors import HedgespecError, NothingComparedError
from hedgespec.results.keys import ROUNDS, SETTING
from hedgespec.results.statistics import (
    LEVEL,
    Estimate,
    holm,
    mat_difference,
    may_be_marked,
    mean_estimate,
)

# Each metric of a comparison, and whether more of it is worse.
METRICS = {"rounds": True, "MAT": False, "tokens/s": False, "regret": True}
ABSENT = "–"
MOST_NAMES = 5  # of settings that one run has alone
_COSTS_OF = "costs, "  # of a trace, in what differs
_SAME = 1e-9  # of a query's rounds or seconds: less is rounding


@dataclass(frozen=True)
class Comparison:
    """Run `other` minus run `base`, where both have the setting.

    `table` has a row per setting and metric of METRICS (tokens/s where both runs have costs): the
    values of both, `difference` with its interval, paired by question, `p` and Holm's `p_holm` over
    all rows, `mark`, and whether it is `worse` or `better`. Rounds and regret are per query.
    `answers` has a row per setting and query that takes more rounds or seconds than before, by how
    many percent (of the one that grew more), the worst first. `differs` says in what the runs
    differ besides: `what`, `before`, `now`.
    """

    base: ResultSet
    other: ResultSet
    table: pl.DataFrame
    answers: pl.DataFrame
    differs: pl.DataFrame

    @cached_property
    def settings(self) -> int:
        """Number of settings that both have."""
        return self.table.select(SETTING).n_unique()

    @property
    def regressions(self) -> pl.DataFrame:
        """Rows of `table` that became significantly worse."""
        return self.table.filter("worse")

    @property
    def _unsure(self) -> pl.DataFrame:
        """Rows of the settings that became worse in tokens/s, or in rounds without, by more than
        rounding, but are not marked in anything."""
        speed = "tokens/s" if "tokens/s" in self.table["metric"] else "rounds"
        change = pl.col("difference") * (1 if METRICS[speed] else -1)
        return self.table.filter(
            pl.col("metric") == speed, change > _SAME * pl.col("base").abs()
        ).join(self.regressions, on=SETTING, how="anti", nulls_equal=True, maintain_order="left")

    @cached_property
    def sentences(self) -> list[str]:
        """What came of it: how many settings became worse, how many better, in what, how many are not
        tested, and whether the costs are others."""
        found = [self._became("worse")]
        if self.table["better"].any():
            found.append(self._became("better"))
        if (unsure := self._unsure).height:
            found.append(
                f"{len(unsure)} more have worse {unsure['metric'][0]}"
                f"{_how_much(unsure)}, which is not shown to be more than chance"
            )
        asked = self.table["questions"].unique().sort().to_list()
        too_few = [count for count in asked if not may_be_marked(count, len(self.table))]
        if too_few:
            rows = self.table.filter(pl.col("questions").is_in(too_few))
            found.append(
                f"{rows.select(SETTING).n_unique()} of {self.settings} settings could not "
                f"be marked: {too_few[-1]} questions are too few for a mark among "
                f"{len(self.table)} differences"
            )
        if moved := self._costs_that_differ:
            found.append(f"the costs differ on {', '.join(moved)}")
        if "tokens/s" not in self.table["metric"]:
            found.append("tokens/s were not compared: a run has no costs")
        return found

    @property
    def _costs_that_differ(self) -> list[str]:
        """The traces whose seconds are estimated from other costs in one run than in the other."""
        rows = self.differs.filter(pl.col("what").str.starts_with(_COSTS_OF))
        return rows["what"].str.strip_prefix(_COSTS_OF).to_list()

    def _became(self, which: str) -> str:
        """How many settings became worse, or better, and in what."""
        rows = self.table.filter(which)
        parts = [
            f"{metric} of {len(some)}{_how_much(some)}"
            for metric in METRICS
            if len(some := rows.filter(pl.col("metric") == metric))
        ]
        settings = rows.select(SETTING).n_unique()
        what = f": {', '.join(parts)}" if parts else ""
        return f"{settings} of {self.settings} settings became {which}{what}"

    @cached_property
    def advice(self) -> list[str]:
        """On each trace that both have, what to do by either run, where that is another."""
        before, now = (
            {one.trace: one.speed or one.rounds for one in judge(run)}
            for run in (self.base, self.other)
        )
        return [
            f"{trace}: {one.told}" + ("" if one.advice == was.advice else f" (before: {was.told})")
            for trace, one in now.items()
            if (was := before.get(trace)) is not None
        ]


def _how_much(rows: pl.DataFrame) -> str:
    """By how many percent the values of a metric changed, from the least change to the greatest."""
    known = rows.filter(pl.col("base") > 0)  # regret may be of either sign, and zero
    if rows["metric"][0] == "regret" or known.is_empty():
        return ""
    change = known.select(one=100 * (pl.col("other") / pl.col("base") - 1))["one"]
    ends = [f"{end:+.1f}" for end in sorted(change, key=abs)]
    return f" ({ends[0]} %)" if ends[0] == ends[-1] else f" ({ends[0]} to {ends[-1]} %)"


def compare(base: ResultSet, other: ResultSet) -> Comparison:
    """Pair two runs.

    Raises NothingComparedError if no setting is shared, HedgespecError for other traces or queries.
    """
    check_same_traces(base, other)
    pairs = [
        pair
        for trace in base.traces
        if trace in other.traces
        if (pair := _Pair.of(base, other, trace)) is not None
    ]
    if not pairs:
        raise NothingComparedError(
            f"{base.folder} and {other.folder} have no setting in common; "
            "replay the same selectors for both"
        )
    answers = pl.concat([pair.worse_answers() for pair in pairs])
    return Comparison(
        base,
        other,
        _tested(pl.concat([part for pair in pairs for part in pair.metrics()])),
        answers.sort("percent", descending=True, maintain_order=True),
        _differs(base, other),
    )


@dataclass(frozen=True)
class _Pair:
    """The answers of one trace in both runs, and the columns (S) of the settings that they share."""

    before: QueryResults
    after: QueryResults
    shared: pl.DataFrame

    @classmethod
    def of(cls, base: ResultSet, other: ResultSet, trace: str) -> "_Pair | None":
        before, after = base.answers(trace), other.answers(trace)
        if before.query_id.tolist() != after.query_id.tolist():
            raise HedgespecError(
                f"{base.folder} and {other.folder}: {trace} was replayed on different queries; "
                "only results of the same queries can be compared"
            )
        shared = before.settings.with_row_index("before").join(
            after.settings.with_row_index("after").select(*ROUNDS, "after", "how"),
            on=ROUNDS,
            how="inner",
            nulls_equal=True,
            suffix="_other",
            maintain_order="left",
        )
        return None if shared.is_empty() else cls(before, after, shared)

    def both(self, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """A measure (Q, S) before and after."""
        one, two = (
            getattr(answers, measure)[:, self.shared[name].to_list()]
            for answers, name in ((self.before, "before"), (self.after, "after"))
        )
        return one, two

    def metrics(self) -> Iterator[pl.DataFrame]:
        """A row per setting, for each metric that both runs have."""
        tokens, question = self.after.tokens, self.before.question
        for metric, measure in (("rounds", "rounds"), ("regret", "regret")):
            one, two = self.both(measure)
            yield self._rows(
                metric, one.mean(axis=0), two.mean(axis=0), mean_estimate(two - one, question)
            )
        for metric, measure in (("MAT", "rounds"), ("tokens/s", "seconds")):
            one, two = self.both(measure)
            if not np.isnan(one + two).any():
                yield self._rows(
                    metric,
                    tokens.sum() / one.sum(axis=0),
                    tokens.sum() / two.sum(axis=0),
                    mat_difference(tokens, two, one, question),
                )

    def _rows(
        self, metric: str, base: np.ndarray, other: np.ndarray, found: Estimate
    ) -> pl.DataFrame:
        return self.shared.select(*SETTING, "label", "usual", "how", "how_other").with_columns(
            metric=pl.lit(metric),
            queries=pl.lit(found.queries),
            questions=pl.lit(found.questions),
            base=base,
            other=other,
            difference=found.value,
            low=found.low,
            high=found.high,
            p=found.p,
        )

    def worse_answers(self) -> pl.DataFrame:
        """A row per setting and query that takes more rounds or seconds than before."""
        rounds, seconds = self.both("rounds"), self.both("seconds")
        more = np.fmax(
            *(
                np.divide(two, one, out=np.ones_like(two), where=one > 0) - 1
                for one, two in (rounds, seconds)
            )
        )
        query, setting = np.nonzero(more > _SAME)
        return self.shared.select(*SETTING, "label")[setting.tolist()].with_columns(
            query_id=pl.Series(self.before.query_id[query], dtype=pl.String),
            domain=pl.Series(self.before.domain[query], dtype=pl.String),
            tokens=self.before.tokens[query],
            percent=100 * more[query, setting],
            **{
                f"{name}_{run}": values[query, setting]
                for name, pair in (("rounds", rounds), ("seconds", seconds))
                for run, values in zip(("base", "other"), pair, strict=True)
            },
        )


def _tested(table: pl.DataFrame) -> pl.DataFrame:
    """The rows with what comes of Holm's correction for all of them, the surest first."""
    adjusted = holm(table["p"].to_numpy())
    more_is_worse = pl.col("metric").replace_strict(METRICS, return_dtype=pl.Boolean)
    certain = pl.col("p_holm").fill_nan(1.0) < 1 - LEVEL
    return (
        table.with_columns(
            pl.Series("p_holm", adjusted),
            pl.Series(
                "mark",
                [mark(value, p) for value, p in zip(table["difference"], adjusted, strict=True)],
                dtype=pl.String,
            ),
        )
        .with_columns(
            worse=certain & ((pl.col("difference") > 0) == more_is_worse),
            better=certain & ((pl.col("difference") > 0) != more_is_worse),
        )
        .sort("p_holm", "difference", maintain_order=True)
    )


def _differs(base: ResultSet, other: ResultSet) -> pl.DataFrame:
    """In what the runs differ: costs, options, versions, and settings that one of them has."""
    before, now = _facts(base), _facts(other)
    for trace in base.hashes.keys() & other.hashes.keys():
        before[_COSTS_OF + trace], now[_COSTS_OF + trace] = (
            _costs(run, trace) for run in (base, other)
        )
    labels = [
        set(run.settings.select(pl.format("{} on {}", "label", "trace")).to_series())
        for run in (base, other)
    ]
    alone = "settings of this run alone"
    before[alone], now[alone] = (
        _some(sorted(mine - labels[1 - i])) for i, mine in enumerate(labels)
    )
    rows = [
        (what, before.get(what, ABSENT), now.get(what, ABSENT))
        for what in before | now
        if before.get(what) != now.get(what)
    ]
    return pl.DataFrame(
        sorted(rows), orient="row", schema=dict.fromkeys(("what", "before", "now"), pl.String())
    )


def _some(names: list[str]) -> str:
    """The first of many names, and how many there are."""
    more = f", and {len(names) - MOST_NAMES} more" * (len(names) > MOST_NAMES)
    return ", ".join(names[:MOST_NAMES]) + more or ABSENT


def _facts(run: ResultSet) -> dict[str, str]:
    """The options that a run was made with, each of all its parts, and the versions."""
    given: dict[str, dict[str, None]] = {}
    for setting in run.provenance["settings"]:
        for option in setting.keys() - {"traces", "threads"}:
            value = setting[option]
            words = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            given.setdefault(option, {})[words] = None
    return {option: "; ".join(filter(None, words)) or ABSENT for option, words in given.items()} | {
        f"version, {name}": str(number) for name, number in run.provenance["versions"].items()
    }


def _costs(run: ResultSet, trace: str) -> str:
    """Whose costs seconds are estimated from; the file's hash tells versions of it apart."""
    sources = run.cost_sources([trace])
    hashes = [
        str(costs["sha256"])[:12]
        for source in sources
        for costs in source["costs"]
        if costs.get("sha256")
    ]
    return " ".join([whose_seconds(sources) or "none", *hashes])
