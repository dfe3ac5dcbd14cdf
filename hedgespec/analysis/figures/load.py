"""Tokens per second of each request, and of all of them, against how many are decoded at once."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    INK,
    LINE,
    TWO_COLUMN,
    Drawing,
    End,
    Look,
    error_bars,
    finish,
    label_ends,
    looks,
)
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL, mat_estimate

HEADING = "And under load?"

EACH, ALL = "tokens/s of each request", "goodput: tokens/s of all B requests"
BATCH = "requests decoded at once, B"


def draw(study: Study) -> Iterator[Drawing]:
    """A figure for each trace that has seconds at two batches or more of the costs shown."""
    for trace in study.traces:
        data = _table(study, trace)
        if data.is_empty() or data["batch"].n_unique() < 2:
            continue
        best = data.filter(pl.col("best"), pl.col("measure") == EACH).sort("batch")
        winners = "; ".join(f"B = {batch}: {name}" for batch, name
                            in best.select("batch", "selector").rows())
        yield Drawing(
            f"load-{trace}", f"Tokens per second under load: {trace}",
            f"Ringed: most tokens per second of the selectors drawn: {winners}. Estimated from "
            f"{study.run.whose_seconds([trace])}, and from the same at each other B. Left: of one "
            f"request; right: B times it. Bars: {LEVEL:.0%} bootstrap intervals over questions, "
            "not corrected. In the table also: with every part of the costs at its 90th and at its "
            "10th percentile.",
            _figure(data, trace, looks(study.drawn)), data)


def _table(study: Study, trace: str) -> pl.DataFrame:
    """A row per batch, measure and selector; `best` is the fastest of its batch."""
    tables = []
    for basis in study.run.bases_beside(trace):
        there = replace(study, run=study.run.under(basis))
        columns = there.columns(trace, study.drawn)
        answers = there.run.answers(trace)
        chosen = list(columns.values())
        if not chosen or answers.settings["tokens_per_second"].gather(chosen).null_count():
            continue
        found = mat_estimate(answers.tokens, answers.seconds[:, chosen], answers.question)
        spread = answers.settings.select("tokens_per_second_low", "tokens_per_second_high")[chosen]
        each = pl.DataFrame({
            "trace": trace, "costs": basis[0], "batch": basis[1], "measure": EACH,
            "selector": list(columns), "queries": found.queries, "value": found.value,
            "low": found.low, "high": found.high}).with_columns(
            costs_low=spread["tokens_per_second_low"], costs_high=spread["tokens_per_second_high"],
            best=pl.col("value") == pl.col("value").max())
        tables += [each, each.with_columns(
            pl.col("value", "low", "high", "costs_low", "costs_high") * basis[1],
            measure=pl.lit(ALL))]
    return pl.concat(tables) if tables else pl.DataFrame()


def _figure(data: pl.DataFrame, trace: str, look: dict[str, Look]) -> Figure:
    names = data["selector"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(TWO_COLUMN, max(2.4, 0.8 + LINE * len(names))), layout="constrained")
    panels = dict(zip((EACH, ALL), figure.subplots(1, 2), strict=True))
    for measure, axis in panels.items():
        _panel(axis, data.filter(pl.col("measure") == measure), look)
        axis.set_ylabel(measure)
    figure.suptitle(trace, x=0.01, ha="left", fontsize="medium")
    label_ends(figure, _ends(panels[ALL], data.filter(pl.col("measure") == ALL), look))
    return finish(figure)


def _panel(axis: Axes, rows: pl.DataFrame, look: dict[str, Look]) -> None:
    for (name,), mine in rows.sort("batch").group_by("selector", maintain_order=True):
        error_bars(axis, mine["batch"].to_numpy(), mine, look[str(name)])
    best = rows.filter("best")
    axis.scatter(best["batch"], best["value"], s=34, facecolors="none", edgecolors=INK,
                 linewidths=0.9, zorder=4)
    batches = rows["batch"].unique().sort().to_list()
    axis.set_xscale("log", base=2)
    axis.set_xticks(batches, list(map(str, batches)))
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel(BATCH)


def _ends(axis: Axes, rows: pl.DataFrame, look: dict[str, Look]) -> list[End]:
    """The last point of each selector."""
    last = rows.sort("batch").group_by("selector", maintain_order=True).last()
    return [End(axis, axis.get_xlim()[1], value, name, look[name].colour)
            for name, value in last.select("selector", "value").rows()]
