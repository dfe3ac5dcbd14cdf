"""What the page needs to move costs: of each setting the parts of each question's seconds.

A question's seconds are a sum of parts that grow in proportion to their costs (`costs.parts`), so
the page finds tokens per second under other costs from them, without replaying. Its intervals are
from the same draws of questions as all others.
"""

from typing import Any

import numpy as np
import polars as pl

from hedgespec.analysis.results import QueryResults, ResultSet
from hedgespec.analysis.study import Study
from hedgespec.analysis.verdict import able
from hedgespec.results.labels import NONE, SelectorLabel
from hedgespec.results.statistics import by_question, draw_states, stretch

HEADING = "And at other costs?"
NEEDS = "costs, and results that say what seconds are made of: replay with this version"
REST = "rest"  # of the seconds: what a round takes besides, which is not moved
MOST = 60  # settings of a trace and batch
DIGITS = 6  # of seconds, so that rates, which are shown with four, are right in all


def moved_costs(study: Study) -> dict[str, Any]:
    """What the script reads of each recorded trace whose seconds can be taken apart."""
    found = {
        trace: _trace(study.run, trace) for trace in study.traces if study.run.pool(trace) is None
    }
    return {trace: data for trace, data in found.items() if data["bases"]}


def _trace(run: ResultSet, trace: str) -> dict[str, Any]:
    answers = run.answers(trace)
    tokens = by_question(answers.tokens[:, None], answers.question)[:, 0]
    wide = stretch(len(tokens))
    bases = {
        f"batch {basis[1]}": _settings(run.under(basis).answers(trace))
        for basis in run.bases_beside(trace)
    }
    return {
        "tokens": tokens.astype(int).tolist(),
        "stretch": None if np.isnan(wide) else wide,
        "draws": draw_states(len(tokens)),
        "bases": {name: settings for name, settings in bases.items() if settings},
    }


def _settings(answers: QueryResults) -> list[dict[str, Any]]:
    """Those that can be run and differ in selector, feedback and loss alone: not drafting, drafters
    alone, and of the others the fastest."""
    there = able(answers.settings, answers.parts["target"])
    feedback, loss = pl.col("feedback"), pl.col("own_loss")
    alone = pl.col("selector").map_elements(_alone, return_dtype=pl.Boolean)
    rows = (
        answers.settings[there]
        .with_columns(column=pl.Series(there))
        .filter(
            (pl.col("setting") == "")
            | (pl.col("setting") == feedback)
            | (pl.col("setting") == loss)
            | (pl.col("setting") == pl.format("{}, {}", feedback, loss))
        )
    )
    rows = rows.sort(~alone, -pl.col("tokens_per_second"), maintain_order=True).head(MOST)
    return [_setting(answers, row) for row in rows.iter_rows(named=True)]


def _alone(selector: str) -> bool:
    """Whether it is one drafter, or none, in all rounds."""
    return SelectorLabel.parse(selector).arm is not None or selector == NONE


def _setting(answers: QueryResults, row: dict[str, Any]) -> dict[str, Any]:
    column = row["column"]
    parts = {part: values[:, column] for part, values in answers.parts.items()}
    parts[REST] = answers.seconds[:, column] - np.sum(list(parts.values()), axis=0)
    sums = by_question(np.column_stack(list(parts.values())), answers.question)
    spent = answers.evaluations[:, column].sum() / answers.rounds[:, column].sum()
    return {
        "label": row["label"],
        "name": row["selector"],
        "feedback": row["feedback"],
        "single": _alone(row["selector"]) and row["selector"] != NONE,
        "by_seconds": bool(row["by_seconds"]),
        "evaluations": round(float(spent), 4),
        "parts": {part: _microseconds(sums[:, place]) for place, part in enumerate(parts)},
    }


def _microseconds(seconds: np.ndarray) -> list[float]:
    """Rounded; of what is left of a difference nothing."""
    return [float(f"{1e6 * one:.{DIGITS}g}") if one > 1e-9 else 0 for one in seconds.tolist()]
