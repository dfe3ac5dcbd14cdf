"""What the page needs to move costs: of each setting the parts of each question's seconds.

A question's seconds are a sum of parts that grow in proportion to their costs (`costs.parts`), so
the page finds tokens per second under other costs from them, without replaying. Its intervals are
from the same draws of questions as all others. Of some settings the parts are known of each
drafter, so that the costs of one alone can be moved.

Numbers that are often multiples of one are counted in it, which makes them shorter.
"""

from typing import Any

import numpy as np
import polars as pl

from hedgespec.analysis.results import QueryResults, ResultSet
from hedgespec.analysis.study import Study
from hedgespec.analysis.verdict import able
from hedgespec.results.labels import NONE, SelectorLabel
from hedgespec.results.statistics import by_question, draw_states, stretch
from hedgespec.results.store import CostSource

HEADING = "And at other costs?"
NEEDS = "costs, and results that say what seconds are made of: replay with this version"
REST = "rest"  # of the seconds: what a round takes besides, which is not moved
MOST = 60  # settings of a trace and batch
LEADING = 6  # of those that choose between drafters, that are known of each drafter
DIGITS = 6  # of seconds, so that rates, which are shown with four, are right in all
MICROSECOND = 1e-6
NOTHING = 1e-9  # seconds: what is left of a difference

Moved = dict[str, Any]


def moved_costs(study: Study) -> Moved:
    """What the script reads of each recorded trace whose seconds can be taken apart."""
    found = {
        trace: _trace(study.run, trace) for trace in study.traces if study.run.pool(trace) is None
    }
    return {trace: data for trace, data in found.items() if data["bases"]}


def _trace(run: ResultSet, trace: str) -> Moved:
    answers = run.answers(trace)
    tokens = by_question(answers.tokens[:, None], answers.question)[:, 0]
    wide = stretch(len(tokens))
    bases = {
        f"batch {basis[1]}": _basis(run.under(basis), trace) for basis in run.bases_beside(trace)
    }
    return {
        "tokens": tokens.astype(int).tolist(),
        "stretch": None if np.isnan(wide) else wide,
        "draws": draw_states(len(tokens)),
        "bases": {name: data for name, data in bases.items() if data["settings"]},
    }


def _basis(run: ResultSet, trace: str) -> Moved:
    """Settings under some costs, and the microseconds in which their numbers are counted: `target`
    and `rest` of a round, `drafters` of each one's drafting and evaluation, `together` of the
    evaluation of all in one batch, None if it is not measured.

    They are a seed's share, so that counts of rounds are whole. `alike` says whether each
    evaluation of all takes as long as `together`, or as the sum of `drafters`.
    """
    answers = run.answers(trace)
    rows = _rows(answers)
    if not rows:
        return {"settings": []}
    [costs] = run.cost_sources([trace])[0]["costs"]
    named = costs.get("drafters", {})
    known = {
        column: seconds
        for column, seconds in run.drafter_seconds(trace, _told_apart(rows)).items()
        if seconds and seconds.keys() <= named.keys()
    }
    share = 1e6 / max(row["seeds"] for row in rows)
    shown = [row["column"] for row in rows]
    found: Moved = {
        name: share * (seconds / answers.rounds)[:, shown].max()
        for name, seconds in (("target", answers.parts["target"]), (REST, _rest(answers)))
    }
    found |= {"drafters": {}, "together": None, "alike": True}
    if known:
        longest = max(row["draft_length"] for row in rows)
        found |= _units(costs, set().union(*known.values()), longest, share)
    found["settings"] = [_setting(answers, row, found, known.get(row["column"])) for row in rows]
    return found


def _rest(answers: QueryResults) -> np.ndarray:
    """What is in no part, (Q, S)."""
    rest: np.ndarray = answers.seconds - np.sum(list(answers.parts.values()), axis=0)
    return rest


def _rows(answers: QueryResults) -> list[dict[str, Any]]:
    """The settings that can be run and differ in selector, feedback and loss alone: not drafting,
    drafters alone, and of the others the fastest."""
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
    return list(rows.iter_rows(named=True))


def _alone(selector: str) -> bool:
    """Whether it is one drafter, or none, in all rounds."""
    return SelectorLabel.parse(selector).arm is not None or selector == NONE


def _told_apart(rows: list[dict[str, Any]]) -> list[int]:
    """The columns of the settings whose seconds the page has of each drafter."""
    alone = [row["column"] for row in rows if _alone(row["selector"])]
    return alone + [row["column"] for row in rows if not _alone(row["selector"])][:LEADING]


def _units(costs: CostSource, drafters: set[str], draft_length: int, share: float) -> Moved:
    """In what the seconds of `drafters` are counted: in whole drafts, and in evaluations on a
    round's tokens."""

    def of(step: float, begin: float | None, evaluate: float) -> list[float]:
        drafting = (begin or 0.0) + (draft_length - 1) * step
        return [share * drafting, share * (evaluate or MICROSECOND * costs["reads"])]

    together = costs["evaluate_all"]
    return {
        "drafters": {
            name: of(**seconds) for name, seconds in costs["drafters"].items() if name in drafters
        },
        "together": None if together is None else share * together,
        "alike": not costs["reads"] and drafters == set(costs["drafters"]),
    }


def _setting(
    answers: QueryResults, row: dict[str, Any], units: Moved, known: dict[str, np.ndarray] | None
) -> Moved:
    """`known` are the seconds (Q, 2) of each drafter's drafting and reading, None if nobody says.

    Then they stand in place of those of all, with what is read in one batch.
    """
    column = row["column"]
    parts = {part: values[:, column] for part, values in answers.parts.items()}
    spent = answers.evaluations[:, column].sum() / answers.rounds[:, column].sum()

    def counted(seconds: np.ndarray, unit: float = 1.0) -> list[float]:
        return _counted(by_question(seconds[:, None], answers.question)[:, 0], unit)

    told = {
        "label": row["label"],
        "name": row["selector"],
        "feedback": row["feedback"],
        "single": _alone(row["selector"]) and row["selector"] != NONE,
        "by_seconds": bool(row["by_seconds"]),
        "evaluations": round(float(spent), 4),
        "target": counted(parts["target"], units["target"]),
        REST: counted(_rest(answers)[:, column], units[REST]),
    }
    if known is None:
        return told | {"draft": counted(parts["draft"]), "reading": counted(parts["reading"])}
    batch = parts["reading"] - sum(seconds[:, 1] for seconds in known.values())
    return told | {
        "drafters": {
            name: [counted(seconds[:, kind], units["drafters"][name][kind]) for kind in (0, 1)]
            for name, seconds in known.items()
            if seconds.any()
        },
        "batch": counted(batch, units["together"] or 1.0),
    }


def _counted(seconds: np.ndarray, unit: float) -> list[float]:
    """How many units of microseconds, rounded; of what is left of a difference nothing, and an
    empty list where there is nothing else."""
    rounded = [_short(1e6 * one / unit) if one > NOTHING else 0 for one in seconds.tolist()]
    return rounded if any(rounded) else []


def _short(value: float) -> float:
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short
