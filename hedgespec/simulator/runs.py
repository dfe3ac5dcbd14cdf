"""One job of a sweep: a selector with its settings, run with each seed, as result tables."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from hedgespec.selectors.learning import Feedback, Loss
from hedgespec.simulator.references import BEST_FIXED
from hedgespec.simulator.replayer import Replayer, Run

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
    """Runs jobs on one trace."""

    def __init__(self, replayer: Replayer):
        self._replayer = replayer
        self._grid = _CurveGrid(replayer)
        self._best: dict[int | None, Run] = {}

    def run(self, job: Job, report: Callable[[int], None]) -> Results:
        """The job's tables; `report` is called with each run's number before it.

        Regret is counted against the best fixed drafter of the same seed, or of exact expectations.
        """
        replayer, summary, per_query, differences = self._replayer, [], [], []
        for number, seed in enumerate(job.runs):
            report(number)
            best = self._best_fixed(seed)
            run = best if job.text == BEST_FIXED else self._run(job, seed)
            rows = _tables(replayer, run, replayer.rounds_per_query(best))
            summary.append(rows[0])
            per_query.append(rows[1])
            differences.append(self._grid.rounds_before(run) - self._grid.rounds_before(best))
        curves = self._grid.table(_keys(replayer, run), np.mean(differences, axis=0))
        return Results(pl.concat(summary), pl.concat(per_query), curves)

    def _best_fixed(self, seed: int | None) -> Run:
        if seed not in self._best:
            job = Job(BEST_FIXED, None, None, seed is None, 1)
            self._best[seed] = self._run(job, seed)
        return self._best[seed]

    def _run(self, job: Job, seed: int | None) -> Run:
        if seed is None:
            return self._replayer.run_exact(job.text, job.feedback, job.loss)
        return self._replayer.run(job.text, seed, job.feedback, job.loss)


def join(parts: list[Results]) -> Results:
    """The tables of several jobs in one."""
    if not parts:
        return Results(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    # Traces have their own drafters, hence their own columns of rounds.
    per_query = pl.concat([part.per_query for part in parts], how="diagonal")
    return Results(pl.concat([part.summary for part in parts]), per_query,
                   pl.concat([part.curves for part in parts]))


def _tables(
    replayer: Replayer, run: Run, best_rounds: np.ndarray
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The summary row and the rows of each query."""
    trace = replayer.trace
    rounds = replayer.rounds_per_query(run)
    tokens = np.diff(trace.offsets)
    keys = {**_keys(replayer, run), "seed": run.seed}
    per_round = replayer.seconds_per_round(run)
    seconds = None if per_round is None else float(run.usage.sum(axis=0) @ per_round)
    summary = pl.DataFrame([{
        **keys,
        "queries": len(tokens),
        "tokens": int(tokens.sum()),
        "rounds": float(rounds.sum()),
        "rounds_sd": None if run.variance is None else float(np.sqrt(run.variance.sum())),
        "mat": float(tokens.sum() / rounds.sum()),
        "mat_per_query": float(np.mean(tokens / rounds)),
        "regret_rounds": float(rounds.sum() - best_rounds.sum()),
        "tokens_per_second": None if seconds is None else float(tokens.sum() / seconds),
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
        **{f"rounds/{name}": pl.Series(run.usage[:, arm], dtype=pl.Float64)
           for arm, name in enumerate(replayer.arms.names)},
    )
    return summary, per_query


class _CurveGrid:
    """Cumulated rounds at a grid of token positions, per query."""

    def __init__(self, replayer: Replayer):
        offsets = replayer.trace.offsets
        longest = int(np.diff(offsets).max())
        self.positions = np.unique(np.linspace(0, longest, CURVE_POINTS).round().astype(np.int64))
        # A query that has ended keeps its final count, so the mean is over all queries everywhere.
        self._ends = np.minimum(offsets[:-1, None] + self.positions, offsets[1:, None])
        self._starts = offsets[:-1, None]

    def rounds_before(self, run: Run) -> np.ndarray:
        """Rounds started before each grid position, shape (Q, G)."""
        counts = np.concatenate([[0], np.cumsum(run.visits, dtype=np.float64)])
        return counts[self._ends] - counts[self._starts]

    def table(self, keys: dict[str, object], difference: np.ndarray) -> pl.DataFrame:
        """Mean over queries and its 95% normal band of `difference` (Q, G), averaged over seeds."""
        mean = difference.mean(axis=0)
        error = difference.std(axis=0, ddof=1) if len(difference) > 1 else np.zeros(len(mean))
        half = 1.96 * error / np.sqrt(len(difference))
        return pl.DataFrame({
            "position": self.positions, "regret_rounds": mean,
            "low": mean - half, "high": mean + half,
        }).select(*(pl.lit(value, dtype=KEYS[key]).alias(key) for key, value in keys.items()),
                  pl.all())


def _keys(replayer: Replayer, run: Run) -> dict[str, object]:
    return {"trace": replayer.trace.name, "selector": run.label, "feedback": run.feedback,
            "loss": run.loss, "draft_length": replayer.draft_length,
            "arm_lengths": " ".join(map(str, replayer.arms_asked)), "carry": replayer.carry,
            "rule": replayer.rule, "mode": run.mode}
