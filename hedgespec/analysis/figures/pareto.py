"""MAT and speed against what evaluation costs, and the front of settings that no other beats."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.overview import speed_note
from hedgespec.analysis.study import Study
from hedgespec.results.keys import KEY_TYPES
from hedgespec.results.labels import FIXED, NONE
from hedgespec.results.statistics import LEVEL, mat_estimate

HEADING = "What does evaluation buy?"
NEEDS = "settings that differ in how many drafters they evaluate"

MEASURES = {"tokens/s": "tokens per second", "MAT": "tokens per round (MAT)"}


def draw(study: Study) -> Iterator[Drawing]:
    """Figures per trace on which settings differ in their cost."""
    for trace in study.traces:
        for measure in MEASURES:
            table = _table(study, trace, measure)
            if table["evaluations"].n_unique() > 1:
                yield _drawing(study, trace, measure, table)


def _drawing(study: Study, trace: str, measure: str, table: pl.DataFrame) -> Drawing:
    how = (
        pl.when(pl.col("feedback").str.contains(":"))
        .then(pl.format(" {}", "feedback"))
        .otherwise(pl.lit(""))
    )
    label = pl.col("selector").str.strip_prefix(FIXED) + how
    timed = speed_note(study.run.whose_seconds([trace])) if measure == "tokens/s" else ""
    return Drawing(
        f"pareto-{measure.replace('/s', '-per-second').lower()}-{trace}",
        f"{measure} against evaluations: {trace}",
        "Every selector that drafts and that live decoding could run, at the trace's usual "
        "loss and draft length. An evaluation is one drafter other than the chosen one that "
        "reads the verified tokens before a round. Named and joined: settings that none beats "
        f"in both. Bars: {LEVEL:.0%} bootstrap intervals over questions, not corrected.{timed}",
        [
            Panel(
                "front",
                table.select(
                    pl.col("selector").alias("name"),
                    label.alias("label"),
                    x="evaluations",
                    y="value",
                    low="low",
                    high="high",
                    front="front",
                ),
                "evaluations of other drafters per round",
                MEASURES[measure],
                study.sized(trace),
                "evaluations",
            )
        ],
        table,
        trace,
        measure,
    )


def _table(study: Study, trace: str, measure: str) -> pl.DataFrame:
    """A row per setting: evaluations per round, the measure, whether it is on the front.

    No rows for a measure that the trace lacks.
    """
    answers = study.run.answers(trace)
    usual = answers.settings.filter(pl.col("usual"))
    columns = {
        column: (name, feedback)
        for name in usual["selector"]
        if name != NONE
        for column, feedback in study.varied(trace, name, "feedback")
        .filter("runnable")
        .select("column", "feedback")
        .rows()
    }
    spent = (answers.rounds if measure == "MAT" else answers.seconds)[:, list(columns)]
    if np.isnan(spent).any():
        columns, spent = {}, spent[:, :0]
    found = mat_estimate(answers.tokens, spent, answers.question)
    drafters = study.run.drafters(trace)
    share = answers.evaluations.sum(axis=0) / answers.rounds.sum(axis=0)
    data = pl.DataFrame(
        {
            "trace": [trace] * len(columns),
            "selector": [name for name, _ in columns.values()],
            "feedback": [feedback for _, feedback in columns.values()],
            "evaluations": (drafters - 1) * share[list(columns)],
            "queries": [found.queries] * len(columns),
            "value": found.value,
            "low": found.low,
            "high": found.high,
        },
        schema_overrides={**KEY_TYPES, "evaluations": pl.Float64, "queries": pl.Int64},
    )
    best = data.sort("evaluations", "value", descending=[False, True], maintain_order=True)
    return best.with_columns(
        front=pl.col("value") > pl.col("value").cum_max().shift(1).fill_null(0.0)
    )
