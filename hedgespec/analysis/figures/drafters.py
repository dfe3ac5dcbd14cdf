"""Regret and MAT against the number of drafters."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, Panel
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL, mat_estimate, mean_estimate

HEADING = "How many drafters?"
NEEDS = "pools of two sizes or more: hedgespec sim --pool"

MEASURES = {
    "regret": "rounds above the best\nfixed drafter, per query",
    "MAT": "tokens per round (MAT)",
}


def draw(study: Study) -> Iterator[Drawing]:
    """Figures for each trace that was replayed with pools of two sizes or more."""
    for trace in study.traces:
        pools = _pools(study, trace)
        data = _table(study, trace, pools)
        if len(pools) > 1 and not data.is_empty():
            claims = list(_claims(study, trace, pools))
            for measure in MEASURES:
                rows = data.filter(pl.col("measure") == measure)
                yield _drawing(study, trace, measure, rows, claims)
                claims = []  # each is made once


def _pools(study: Study, trace: str) -> dict[int, str]:
    """Names of the pools made from `trace` by their number of drafters, smallest first.

    Of several of a number, the first.
    """
    found: dict[int, str] = {}
    for name in study.run.traces:
        pool = study.run.pool(name)
        if pool and pool.trace == trace:
            found.setdefault(pool.drafters, name)
    return dict(sorted(found.items()))


def _table(study: Study, trace: str, pools: dict[int, str]) -> pl.DataFrame:
    """A row per measure, selector and number of drafters."""
    rows = []
    for drafters, pool in pools.items():
        answers = study.run.answers(pool)
        columns = study.columns(pool, study.drawn)
        chosen = list(columns.values())
        if not chosen:
            continue
        estimates = {
            "regret": mean_estimate(answers.regret[:, chosen], answers.question),
            "MAT": mat_estimate(answers.tokens, answers.rounds[:, chosen], answers.question),
        }
        rows += [
            {
                "trace": trace,
                "measure": measure,
                "selector": name,
                "drafters": drafters,
                "queries": found.queries,
                "value": found.value[i],
                "low": found.low[i],
                "high": found.high[i],
            }
            for measure, found in estimates.items()
            for i, name in enumerate(columns)
        ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _drawing(
    study: Study, trace: str, measure: str, rows: pl.DataFrame, claims: list[Claim]
) -> Drawing:
    sizes = sorted(set(rows["drafters"].to_list()))
    return Drawing(
        f"drafters-{measure.lower()}-{trace}",
        f"{measure} against the number of drafters: {trace}",
        "Pools are subsets of the trace's drafters, or all of them and weakened copies. Bars: "
        f"{LEVEL:.0%} bootstrap intervals over questions, not corrected.",
        [
            Panel(
                "points",
                rows.select(name="selector", x="drafters", y="value", low="low", high="high"),
                "drafters in the pool",
                MEASURES[measure],
                study.sized(trace),
                "log2",
                [(size, str(size)) for size in sizes],
                zero=measure == "regret",
            )
        ],
        rows,
        trace,
        measure,
        claims,
    )


def _claims(study: Study, trace: str, pools: dict[int, str]) -> Iterator[Claim]:
    """Whose regret grows most from the smallest pool to the largest, and whose least."""
    first, last = min(pools), max(pools)
    small, large = (study.run.answers(pools[size]) for size in (first, last))
    before, after = (study.columns(pools[size], study.learners) for size in (first, last))
    shared = [name for name in before if name in after]
    if len(shared) < 2 or (small.query_id != large.query_id).any():
        return
    growth = np.column_stack(
        [large.regret[:, after[name]] - small.regret[:, before[name]] for name in shared]
    )
    most, least = growth.mean(axis=0).argmax(), growth.mean(axis=0).argmin()
    yield Claim.of(
        f"From {first} to {last} drafters, the regret of {shared[most]} on {trace} grows by",
        ("more", "less"),
        f"rounds per query than that of {shared[least]}",
        mean_estimate(growth[:, [most]] - growth[:, [least]], small.question),
    )
