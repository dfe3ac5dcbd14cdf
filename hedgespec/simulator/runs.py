"""One job of a sweep: a selector with its settings, run with each seed, as result tables."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.simulator.adoption import rounds_until_best
from hedgespec.simulator.answer import answer_table, most_switching
from hedgespec.simulator.references import BEST_FIXED
from hedgespec.simulator.replayer import Replay, Replayer

CURVE_POINTS = 64
# Columns that tell rows apart in all three tables; per_query and summary have `seed` too.
KEYS: dict[str, pl.DataType] = {
    "trace": pl.String(), "selector": pl.String(), "feedback": pl.String(), "loss": pl.String(),
    "draft_length": pl.Int32(), "arm_lengths": pl.String(), "carry": pl.Int64(),
    "rule": pl.String(), "mode": pl.String(),
}


@dataclass
class Results:
    """Result tables of a sweep; see docs/results.md for the columns."""

    summary: pl.DataFrame
    per_query: pl.DataFrame
    curves: pl.DataFrame
    answer: pl.DataFrame
    provenance: dict[str, object] = field(default_factory=dict)
    complete: bool = True
    first: "Results | None" = None


@dataclass(frozen=True)
class Job:
    """A selector with its settings, evaluated exactly or replayed with seeds 0..seeds-1."""

    text: str
    feedback: Feedback | None
    loss: Loss | None
    exact: bool
    seeds: int

    @property
    def runs(self) -> list[int | None]:
        """The seeds; None for an exact expectation."""
        return [None] if self.exact else list(range(self.seeds))


class TraceJobs:
    """Runs jobs on one trace.

    The answer to the query with the id `answer` is shown in detail; if there is none, that in which
    changing the drafter would help most.
    """

    def __init__(self, replayer: Replayer, answer: str | None = None):
        self._replayer = replayer
        self._grid = _CurveGrid(replayer)
        self._best: dict[int | None, Replay] = {}
        offsets = replayer.trace.offsets
        self._gamma = replayer.statistics(0, offsets[-1])[0][:, 0]  # of a round's first draft token
        self._mean_gamma = (np.add.reduceat(self._gamma, offsets[:-1], dtype=np.float64)
                            / np.diff(offsets)[:, None])
        ids = replayer.trace.queries["query_id"].to_list()
        self._shown = (ids.index(answer) if answer in ids
                       else most_switching(self._gamma, offsets))

    def run(self, job: Job, report: Callable[[int], None]) -> Results:
        """The job's tables; `report` is called with each run's number before it.

        Regret is counted against the best fixed drafter of the same seed, or of exact expectations.
        """
        replayer, curves = self._replayer, []
        summary, per_query = [], []
        for number, seed in enumerate(job.runs):
            report(number)
            best = self._best_fixed(seed)
            run = best if job.text == BEST_FIXED else self._run(job, seed)
            rows = _tables(replayer, run, replayer.rounds_per_query(best))
            summary.append(rows[0])
            per_query.append(rows[1].with_columns(self._adoption(run)))
            curves.append(self._grid.curves(run, best))
            if number == 0:
                answer = answer_table(replayer, run, self._shown, self._gamma)
        keys = [pl.lit(value, dtype=KEYS[key]).alias(key)
                for key, value in _keys(replayer, run).items()]
        return Results(pl.concat(summary), pl.concat(per_query),
                       self._grid.table(curves).select(*keys, pl.all()),
                       answer.select(*keys, pl.all()))

    def _adoption(self, run: Replay) -> list[pl.Series]:
        """Columns of each query: how well its drafters' tokens were accepted, and how soon the
        best of them ran."""
        replayer = self._replayer
        gamma = (run.usage * self._mean_gamma).sum(axis=1) / run.usage.sum(axis=1)
        until = rounds_until_best(run, replayer.expected_rounds.argmin(axis=1),
                                  replayer.trace.offsets)
        return [pl.Series("gamma", gamma), pl.Series("rounds_until_best", until, nan_to_null=True)]

    def _best_fixed(self, seed: int | None) -> Replay:
        if seed not in self._best:
            job = Job(BEST_FIXED, None, None, seed is None, 1)
            self._best[seed] = self._run(job, seed)
        return self._best[seed]

    def _run(self, job: Job, seed: int | None) -> Replay:
        if seed is None:
            return self._replayer.run_exact(job.text, job.feedback, job.loss)
        return self._replayer.run(job.text, seed, job.feedback, job.loss)


def join(parts: list[Results]) -> Results:
    """The tables of several jobs in one."""
    if not parts:
        return Results(pl.DataFrame(), pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    # Traces have their own drafters, hence their own columns of rounds.
    per_query, answer = (pl.concat([getattr(part, name) for part in parts], how="diagonal")
                         for name in ("per_query", "answer"))
    return Results(pl.concat([part.summary for part in parts]), per_query,
                   pl.concat([part.curves for part in parts]), answer)


def _tables(
    replayer: Replayer, run: Replay, best_rounds: np.ndarray
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The summary row and the rows of each query."""
    trace = replayer.trace
    rounds = replayer.rounds_per_query(run)
    tokens = np.diff(trace.offsets)
    keys = {**_keys(replayer, run), "seed": run.seed}
    seconds, evaluation = _seconds(replayer, run)
    summary = pl.DataFrame([{
        **keys,
        "queries": len(tokens),
        "tokens": int(tokens.sum()),
        "rounds": float(rounds.sum()),
        "rounds_sd": None if run.variance is None else float(np.sqrt(run.variance.sum())),
        "mat": float(tokens.sum() / rounds.sum()),
        "mat_per_query": float(np.mean(tokens / rounds)),
        "regret_rounds": float(rounds.sum() - best_rounds.sum()),
        "tokens_per_second": (None if trace.manifest.costs is None
                              else float(tokens.sum() / seconds.sum())),
        "rounds_per_second": float(rounds.sum() / run.seconds),
    }], schema_overrides={**KEYS, "seed": pl.Int32(), "rounds_sd": pl.Float64(),
                          "tokens_per_second": pl.Float64()})
    per_query = trace.queries.select(
        *(pl.lit(value, dtype=summary[key].dtype).alias(key) for key, value in keys.items()),
        "query", "query_id", "domain",
    ).with_columns(
        tokens=pl.Series(tokens),
        rounds=pl.Series(rounds),
        mat=pl.Series(tokens / rounds),
        regret_rounds=pl.Series(rounds - best_rounds),
        seconds=pl.Series(seconds, nan_to_null=True),
        evaluation_seconds=pl.Series(evaluation, nan_to_null=True),
        **{f"rounds/{name}": pl.Series(run.usage[:, arm], dtype=pl.Float64)
           for arm, name in enumerate(replayer.arms.names)},
    )
    return summary, per_query


def _seconds(replayer: Replayer, run: Replay) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each query, and those of them that evaluation takes, (Q); NaN without costs."""
    per_round = replayer.seconds_per_round(run)
    if per_round is None:
        unknown = np.full(len(run.usage), np.nan)
        return unknown, unknown
    return run.usage @ per_round, run.usage @ replayer.evaluation_per_round(run)


class _CurveGrid:
    """Cumulated rounds and seconds at a grid of token positions, per query."""

    def __init__(self, replayer: Replayer):
        offsets = replayer.trace.offsets
        longest = int(np.diff(offsets).max())
        self._replayer = replayer
        self._positions = np.unique(np.linspace(0, longest, CURVE_POINTS).round().astype(np.int64))
        # A query that has ended keeps its final count, so the mean is over all queries everywhere.
        self._ends = np.minimum(offsets[:-1, None] + self._positions, offsets[1:, None])
        self._starts = offsets[:-1, None]

    def curves(self, run: Replay, best: Replay) -> np.ndarray:
        """Rounds and seconds, and how many more than those of `best`, (4, Q, G).

        They are those of rounds that started before each grid position. Without costs seconds are
        NaN.
        """
        mine, base = self._before(run), self._before(best)
        return np.concatenate([mine, mine - base])

    def _before(self, run: Replay) -> np.ndarray:
        per_round = self._replayer.seconds_per_round(run)
        counts = [self._cumulated(run.visits)]
        if per_round is None:
            counts.append(np.full_like(counts[0], np.nan))
        else:
            counts.append(self._cumulated(run.visits * run.in_rounds(per_round)))
        return np.stack(counts)

    def _cumulated(self, counts: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
        found: np.ndarray = sums[self._ends] - sums[self._starts]
        return found

    def table(self, curves: list[np.ndarray]) -> pl.DataFrame:
        """Means over queries of `curves` of several seeds, the differences with their bands.

        The bands are 95% normal intervals over queries; seeds are averaged first.
        """
        rounds, seconds, more_rounds, more_seconds = np.mean(curves, axis=0)
        low, high = _band(more_rounds)
        seconds_low, seconds_high = _band(more_seconds)
        columns = {
            "rounds": rounds.mean(axis=0), "regret_rounds": more_rounds.mean(axis=0),
            "low": low, "high": high, "seconds": seconds.mean(axis=0),
            "regret_seconds": more_seconds.mean(axis=0), "seconds_low": seconds_low,
            "seconds_high": seconds_high}
        return pl.DataFrame({"position": self._positions, **{
            name: pl.Series(values, nan_to_null=True) for name, values in columns.items()}})


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% normal interval of the mean over queries of `values` (Q, G)."""
    mean = values.mean(axis=0)
    error = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(mean))
    half = 1.96 * error / np.sqrt(len(values))
    return mean - half, mean + half


def _keys(replayer: Replayer, run: Replay) -> dict[str, object]:
    return {"trace": replayer.trace.name, "selector": run.label, "feedback": run.feedback_label,
            "loss": run.loss_label, "draft_length": replayer.draft_length,
            "arm_lengths": " ".join(map(str, replayer.arms_asked)), "carry": replayer.carry,
            "rule": replayer.rule, "mode": run.mode}
