"""A router by the prompt beside learners that go by what was accepted."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    INK,
    TWO_COLUMN,
    Claim,
    Drawing,
    Look,
    across,
    arm_label,
    finish,
    looks,
    short,
    zero_line,
)
from hedgespec.analysis.study import Study
from hedgespec.results.labels import NONE, PROMPT
from hedgespec.results.statistics import LEVEL, SMALL, few, mean_estimate

HEADING = "A router by the prompt, or online selection?"

ONLINE = 3  # learners shown beside the router
ROW, FRAME = 0.16, 0.6  # inches of a row, and of title and axis


def draw(study: Study) -> Iterator[Drawing]:
    """One figure of all traces that a router was run on."""
    learners = _online(study)
    tables = [_table(study, trace, name, learners) for trace, name in _routers(study)]
    if tables and learners:
        data = pl.concat(tables)
        yield Drawing(
            "router", "A router by the prompt, or online selection",
            "A router is trained on other questions of the same trace, router:TRACE on those "
            f"of another. Beside it the {len(learners)} chosen learners of least regret. Bars: "
            f"{LEVEL:.0%} bootstrap intervals over questions, on the right paired by question; not "
            f"corrected. Behind a trace: its questions (†: fewer than {SMALL}).",
            _figure(tables, looks(study.drawn)), data, list(_claims(tables)))


def _routers(study: Study) -> Iterator[tuple[str, str]]:
    """Traces and the routers run on them."""
    for trace in study.traces:
        rows = study.run.answers(trace).settings.filter(pl.col("usual"),
                                                        pl.col("feedback") == PROMPT)
        for name in rows["selector"]:
            yield trace, name


def _online(study: Study) -> tuple[str, ...]:
    """The chosen learners of least regret on the traces that have them all."""
    settings = study.run.settings.filter(
        pl.col("usual"), pl.col("trace").is_in(study.traces),
        pl.col("selector").is_in(study.learners), ~pl.col("feedback").is_in([PROMPT, NONE]))
    ranked = settings.group_by("selector", maintain_order=True).agg(pl.col("regret").mean())
    return tuple(ranked.sort("regret", "selector")["selector"][:ONLINE])


def _table(study: Study, trace: str, router: str, learners: tuple[str, ...]) -> pl.DataFrame:
    """The router's row and the learners'; differences are the learner's regret minus its."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, (router, *learners))
    regret = answers.regret[:, list(columns.values())]
    found, difference = (mean_estimate(values, answers.question)
                         for values in (regret, regret - regret[:, :1]))
    return pl.DataFrame({
        "trace": trace, "router": router, "selector": list(columns), "queries": found.queries,
        "questions": found.questions,
        "regret": found.value, "low": found.low, "high": found.high,
        "difference": difference.value, "difference_low": difference.low,
        "difference_high": difference.high, "p": difference.p,
    })


def _figure(tables: list[pl.DataFrame], look: dict[str, Look]) -> Figure:
    rows = sum(len(table) + 1 for table in tables)
    figure = Figure(figsize=(TWO_COLUMN, FRAME + ROW * rows), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = []
    for table in tables:
        asked = table["questions"][0]
        names.append(f"{short(table['trace'][0])}, {asked}{few(asked)}")
        for i, row in enumerate(table.iter_rows(named=True)):
            style = look.get(row["selector"], Look(INK, "-", "s"))
            across(left, len(names), row["regret"], row["low"], row["high"], style)
            if i:
                across(right, len(names), row["difference"], row["difference_low"],
                       row["difference_high"], style)
            names.append(arm_label(row["selector"]))
    zero_line(left, upright=True)
    zero_line(right, upright=True)
    for axis in (left, right):
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
    left.set_yticks(range(len(names)), names)
    heads = np.cumsum([0, *(len(table) + 1 for table in tables[:-1])])
    for head in heads:
        left.get_yticklabels()[head].set_weight("bold")
    right.set_yticks([])
    left.set_xlabel("rounds above the best fixed drafter, per query")
    right.set_xlabel("rounds more than the router, per query")
    return finish(figure)


def _claims(tables: list[pl.DataFrame]) -> Iterator[Claim]:
    """The router against the first of the learners on each trace."""
    for table in tables:
        if len(table) < 2:
            continue
        router, learner = table["router"][0], table.row(1, named=True)
        yield Claim(
            f"On {table['trace'][0]}, {learner['selector']} needs", ("more", "fewer"),
            f"rounds per query than {router}", *(
                learner[name] for name in ("difference", "difference_low", "difference_high",
                                           "p")))
