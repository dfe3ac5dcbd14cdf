"""Runs selectors x seeds over traces and turns the decisions into result tables."""

import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

import hedgespec
from hedgespec.errors import HedgespecError
from hedgespec.files import sha256_file
from hedgespec.selectors import BUILT_IN
from hedgespec.simulator.replayer import BEST_FIXED, ORACLE, Replayer, Run
from hedgespec.traces import Trace, read_trace

CURVE_POINTS = 64
KEYS = ["trace", "selector", "feedback", "loss", "draft_length", "seed"]


@dataclass
class Results:
    """Result tables of a sweep; see docs/results.md for the columns."""

    summary: pl.DataFrame
    per_query: pl.DataFrame
    curves: pl.DataFrame
    provenance: dict[str, object] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True)
class SweepSettings:
    """What to run; `selectors` empty takes all built-in ones and every reference."""

    selectors: tuple[str, ...] = ()
    draft_length: int | None = None
    rule: str = "auto"
    estimator: str = "gamma"
    seeds: int = 5
    threads: int = 1


def default_selectors(trace: Trace) -> list[str]:
    """Every fixed drafter, the references and all built-in selectors."""
    fixed = [f"fixed:{name}" for name in trace.manifest.drafter_names]
    return [*fixed, BEST_FIXED, ORACLE, *BUILT_IN]


def run_sweep(
    folders: Iterable[Path],
    settings: SweepSettings,
    progress: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> Results:
    """Replay every trace with every selector and seed.

    `progress(label, done, total)` is called before each replay. Ctrl-C ends the sweep; the
    results so far come back with `complete` False. Raises HedgespecError on bad input before
    anything runs.
    """
    if settings.seeds < 1:
        raise HedgespecError(f"--seeds must be at least 1, not {settings.seeds}")
    if settings.threads < 1:
        raise HedgespecError(f"--threads must be at least 1, not {settings.threads}")
    plan = [_plan(folder, settings) for folder in folders]
    _check_names([replayer.trace for _, replayer, _ in plan])
    total = sum(len(selectors) for _, _, selectors in plan) * settings.seeds
    collector = _Collector(total, progress)
    complete = True
    try:
        for _, replayer, selectors in plan:
            collector.run_trace(replayer, selectors, settings.seeds)
    except KeyboardInterrupt:
        complete = False
    results = collector.results()
    results.complete = complete
    inputs = [(folder, replayer.trace) for folder, replayer, _ in plan]
    results.provenance = {"complete": complete, **_provenance(inputs, settings)}
    return results


def _plan(folder: Path, settings: SweepSettings) -> tuple[Path, Replayer, list[str]]:
    trace = read_trace(folder)
    replayer = Replayer(trace, settings.draft_length, settings.rule, settings.estimator,
                        settings.threads)
    texts = settings.selectors or default_selectors(trace)
    selectors = list(dict.fromkeys(replayer.label(text) for text in texts))
    return folder, replayer, selectors


def _check_names(traces: list[Trace]) -> None:
    names = [trace.name for trace in traces]
    for name in names:
        if names.count(name) > 1:
            raise HedgespecError(f"two traces are called {name!r}: results could not be told apart")


class _Collector:
    """Gathers rows from runs."""

    def __init__(self, total: int, progress: Callable[[str, int, int], None]):
        self._total = total
        self._done = 0
        self._progress = progress
        self._summary: list[dict[str, object]] = []
        self._per_query: list[pl.DataFrame] = []
        self._curves: list[pl.DataFrame] = []

    def run_trace(self, replayer: Replayer, selectors: list[str], seeds: int) -> None:
        """Replay one trace. The best fixed drafter runs first: regret is counted against it."""
        grid = _CurveGrid(replayer)
        best = [replayer.run(BEST_FIXED, seed) for seed in range(seeds)]
        best_rounds = [replayer.rounds_per_query(run) for run in best]
        best_curves = [grid.rounds_before(run) for run in best]
        for text in selectors:
            differences = []
            for seed in range(seeds):
                self._progress(f"{replayer.trace.name}  {text}", self._done, self._total)
                run = best[seed] if text == BEST_FIXED else replayer.run(text, seed)
                self._add(replayer, run, best_rounds[seed])
                differences.append(grid.rounds_before(run) - best_curves[seed])
                self._done += 1
            keys = _keys(replayer, run)
            self._curves.append(grid.table(keys, np.mean(differences, axis=0)))

    def _add(self, replayer: Replayer, run: Run, best_rounds: np.ndarray) -> None:
        trace = replayer.trace
        rounds = replayer.rounds_per_query(run)
        tokens = np.diff(trace.offsets)
        keys = {**_keys(replayer, run), "seed": run.seed}
        self._summary.append({
            **keys,
            "rule": replayer.rule,
            "queries": len(tokens),
            "tokens": int(tokens.sum()),
            "rounds": int(rounds.sum()),
            "mat": float(tokens.sum() / rounds.sum()),
            "mat_per_query": float(np.mean(tokens / rounds)),
            "regret_rounds": int(rounds.sum() - best_rounds.sum()),
            "rounds_per_second": float(rounds.sum() / run.seconds),
        })
        self._per_query.append(
            trace.queries.select("query", "query_id", "domain").with_columns(
                *(pl.lit(value).alias(key) for key, value in keys.items()),
                tokens=pl.Series(tokens),
                rounds=pl.Series(rounds),
                mat=pl.Series(tokens / rounds),
                regret_rounds=pl.Series(rounds - best_rounds),
            )
        )

    def results(self) -> Results:
        """The tables so far."""
        if not self._summary:
            return Results(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
        per_query = pl.concat(self._per_query)
        order = [*KEYS, "query", "query_id", "domain"]
        rest = [column for column in per_query.columns if column not in order]
        curves = pl.concat(self._curves) if self._curves else pl.DataFrame()
        types = {"draft_length": pl.Int32, "seed": pl.Int32}
        summary = pl.DataFrame(self._summary, schema_overrides=types)
        return Results(summary, per_query.select(order + rest), curves)


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
        counts = np.concatenate([[0], np.cumsum(run.choice >= 0)])
        return counts[self._ends] - counts[self._starts]

    def table(self, keys: dict[str, object], difference: np.ndarray) -> pl.DataFrame:
        """Mean over queries and its 95% normal band of `difference` (Q, G), averaged over seeds."""
        mean = difference.mean(axis=0)
        error = difference.std(axis=0, ddof=1) if len(difference) > 1 else np.zeros(len(mean))
        half = 1.96 * error / np.sqrt(len(difference))
        return pl.DataFrame({
            "position": self.positions, "regret_rounds": mean,
            "low": mean - half, "high": mean + half,
        }).select(*(pl.lit(value).alias(key) for key, value in keys.items()), pl.all())


def _keys(replayer: Replayer, run: Run) -> dict[str, object]:
    return {"trace": replayer.trace.name, "selector": run.label, "feedback": run.feedback,
            "loss": run.loss, "draft_length": replayer.draft_length}


def _provenance(inputs: list[tuple[Path, Trace]], settings: SweepSettings) -> dict[str, object]:
    """Everything needed to say which inputs, seeds and versions made the results."""
    return {
        "command": sys.argv,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "traces": [
            {"name": trace.name, "folder": str(folder),
             "manifest_sha256": sha256_file(folder / "manifest.json")}
            for folder, trace in inputs
        ],
        "settings": {"selectors": list(settings.selectors) or "default",
                     "draft_length": settings.draft_length or "each trace's own",
                     "rule": settings.rule, "estimator": settings.estimator,
                     "seeds": list(range(settings.seeds)), "threads": settings.threads},
        "versions": {"hedgespec": hedgespec.__version__, "python": platform.python_version(),
                     **{name: version(name) for name in ("numpy", "numba", "polars")}},
    }
