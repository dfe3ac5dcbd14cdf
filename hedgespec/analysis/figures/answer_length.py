"""Gain over a baseline selector against the length of the answer."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    LINE,
    Claim,
    Drawing,
    End,
    Look,
    error_bars,
    finish,
    label_ends,
    looks,
    panels,
    zero_line,
)
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL, SMALL, gain_difference, mat_gain, may_be_marked

HEADING = "Do long answers gain more?"

GROUPS = 4


def draw(study: Study) -> Iterator[Drawing]:
    """A panel per trace whose answers fall into two groups of length or more."""
    tables = [table for trace in study.traces if (table := _table(study, trace)) is not None]
    if tables:
        data = pl.concat(tables)
        yield Drawing(
            "answer-length", f"Gain over {study.against} against the length of the answer",
            f"Pooled MAT above that of {study.against}, for queries in up to {GROUPS} groups of "
            "equal number by tokens generated; points stand at a group's mean length, set a little "
            f"apart. Bars: {LEVEL:.0%} paired bootstrap intervals over the questions of a group, "
            f"not corrected; groups of fewer than {SMALL} questions are flagged in the data. "
            "Domains differ in length, so this is not the effect of length alone.",
            _figure(tables, looks(study.drawn)), data, list(_claims(study)))


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
    learners = study.columns(trace, tuple(
        name for name in study.learners if name != study.against))
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
        gain = mat_gain(answers.rounds[group][:, list(learners.values())],
                        answers.rounds[group, base], answers.question[group])
        tokens = answers.tokens[group]
        rows += [{"trace": trace, "selector": name, "against": study.against,
                  "shortest": tokens.min(), "longest": tokens.max(), "tokens": tokens.mean(),
                  "queries": gain.queries, "questions": gain.questions,
                  "few_questions": not may_be_marked(gain.questions),
                  "gain_percent": gain.value[i], "low": gain.low[i], "high": gain.high[i]}
                 for i, name in enumerate(learners)]
    return pl.DataFrame(rows, infer_schema_length=None)


def _figure(tables: list[pl.DataFrame], look: dict[str, Look]) -> Figure:
    most = max(table["selector"].n_unique() for table in tables)
    figure, axes = panels([table["trace"][0] for table in tables], max(2.1, 0.9 + LINE * most))
    ends = []
    for axis, table in zip(axes, tables, strict=True):
        zero_line(axis)
        apart = 0.006 * float(np.ptp(table["tokens"].to_numpy()))
        for i, ((name,), rows) in enumerate(table.group_by("selector", maintain_order=True)):
            x = rows["tokens"].to_numpy() + apart * i
            style = look[str(name)]
            error_bars(axis, x, rows, style, measure="gain_percent")
            ends.append(End(axis, x[-1], rows["gain_percent"][-1], str(name), style.colour))
        axis.set_xlabel("tokens of the answer")
        axis.set_ylabel(f"gain in MAT over\n{table['against'][0]}, %")
    label_ends(figure, ends)
    return finish(figure)


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
        more = gain_difference(pair[groups[-1]], pair[groups[0]], answers.question[groups[-1]],
                               answers.question[groups[0]])
        yield Claim.of(
            f"The gain of {best} over {study.against} is", ("percentage points higher",
                                                           "percentage points lower"),
            f"on the longest answers of {trace} than on its shortest", more, digits=0)
