"""Gain over a baseline selector against the length of the answer."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, Panel, claimed
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL, SMALL, gain_difference, mat_gain, may_be_marked

HEADING = "Do long answers gain more?"
NEEDS = "a selector to count gains from beside a learner, and answers of different length"

GROUPS = 4


def draw(study: Study) -> Iterator[Drawing]:
    """A figure per trace whose answers fall into two groups of length or more."""
    drawings = [
        _drawing(study, trace, table)
        for trace in study.traces
        if (table := _table(study, trace)) is not None
    ]
    return claimed(drawings, _claims(study))


def _drawing(study: Study, trace: str, table: pl.DataFrame) -> Drawing:
    apart = 0.006 * float(np.ptp(table["tokens"].to_numpy()))
    place = {name: i for i, name in enumerate(table["selector"].unique(maintain_order=True))}
    rows = table.select(
        pl.col("selector").alias("name"),
        x=pl.col("tokens") + apart * pl.col("selector").replace_strict(place),
        y="gain_percent",
        low="low",
        high="high",
    )
    return Drawing(
        f"answer-length-{trace}",
        f"Gain over {study.against} against the length of the answer: {trace}",
        f"Pooled MAT above that of {study.against}, for queries in up to {GROUPS} groups of "
        "equal number by tokens generated; points stand at a group's mean length, set a little "
        f"apart. Bars: {LEVEL:.0%} paired bootstrap intervals over the questions of a group, "
        f"not corrected; groups of fewer than {SMALL} questions are flagged in the data. "
        "Domains differ in length, so this is not the effect of length alone.",
        [
            Panel(
                "points",
                rows,
                "tokens of the answer",
                f"gain in MAT over\n{study.against}, %",
                study.sized(trace),
                zero=True,
            )
        ],
        table,
        trace,
    )


def length_groups(tokens: np.ndarray) -> list[np.ndarray]:
    """Indices of up to GROUPS groups of about equal number by length (Q), shortest first.

    Answers of the same length are in the same group.
    """
    edges = np.unique(np.quantile(tokens, np.arange(1, GROUPS) / GROUPS))
    group = np.searchsorted(edges, tokens, side="left")
    return [np.flatnonzero(group == i) for i in np.unique(group)]


def _chosen(study: Study, trace: str) -> tuple[dict[str, int], int] | None:
    """Columns of the learners and of the baseline selector, if both are there."""
    base = study.columns(trace, (study.against,) if study.against else ())
    learners = study.columns(trace, tuple(name for name in study.learners if name != study.against))
    return (learners, base[str(study.against)]) if base and learners else None


def _table(study: Study, trace: str) -> pl.DataFrame | None:
    """A row per learner and group of answers; None where there are not two groups."""
    answers = study.run.answers(trace)
    chosen, groups = _chosen(study, trace), length_groups(answers.tokens)
    if chosen is None or len(groups) < 2:
        return None
    learners, base = chosen
    rows = []
    for group in groups:
        gain = mat_gain(
            answers.rounds[group][:, list(learners.values())],
            answers.rounds[group, base],
            answers.question[group],
        )
        tokens = answers.tokens[group]
        rows += [
            {
                "trace": trace,
                "selector": name,
                "against": study.against,
                "shortest": tokens.min(),
                "longest": tokens.max(),
                "tokens": tokens.mean(),
                "queries": gain.queries,
                "questions": gain.questions,
                "few_questions": not may_be_marked(gain.questions),
                "gain_percent": gain.value[i],
                "low": gain.low[i],
                "high": gain.high[i],
            }
            for i, name in enumerate(learners)
        ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _claims(study: Study) -> Iterator[Claim]:
    """Whether the best learner gains more on the longest answers than on the shortest."""
    for trace in study.traces:
        answers = study.run.answers(trace)
        chosen, groups = _chosen(study, trace), length_groups(answers.tokens)
        if chosen is None or len(groups) < 2:
            continue
        learners, base = chosen
        best = min(learners, key=lambda name: answers.rounds[:, learners[name]].sum())
        pair = answers.rounds[:, [base, learners[best]]]
        more = gain_difference(
            pair[groups[-1]],
            pair[groups[0]],
            answers.question[groups[-1]],
            answers.question[groups[0]],
        )
        yield Claim.of(
            f"The gain of {best} over {study.against} is",
            ("percentage points higher", "percentage points lower"),
            f"on the longest answers of {trace} than on its shortest",
            more,
            digits=0,
        )
