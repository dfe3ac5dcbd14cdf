"""Tokens per second of each request, and of all of them, against how many are decoded at once."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL, mat_estimate

HEADING = "And under load?"
NEEDS = "costs at two batches or more: hedgespec sim --batch"

EACH, ALL = "tokens/s of each request", "goodput: tokens/s of all B requests"
BATCH = "requests decoded at once, B"


def draw(study: Study) -> Iterator[Drawing]:
    """A figure for each trace that has seconds at two batches or more of the costs shown."""
    for trace in study.traces:
        data = _table(study, trace)
        if data.is_empty() or data["batch"].n_unique() < 2:
            continue
        best = data.filter(pl.col("best"), pl.col("measure") == EACH).sort("batch")
        winners = "; ".join(
            f"B = {batch}: {name}" for batch, name in best.select("batch", "selector").rows()
        )
        yield Drawing(
            f"load-{trace}",
            f"Tokens per second under load: {trace}",
            f"Most tokens per second of the selectors drawn: {winners}. Estimated from "
            f"{study.run.whose_seconds([trace])}, and from the same at each other B. First of one "
            f"request, then B times it. Bars: {LEVEL:.0%} bootstrap intervals over questions, "
            "not corrected. In the table also: with every part of the costs at its 90th and at its "
            "10th percentile.",
            [
                _panel(data.filter(pl.col("measure") == measure), measure, study.sized(trace))
                for measure in (EACH, ALL)
            ],
            data,
            trace,
        )


def _table(study: Study, trace: str) -> pl.DataFrame:
    """A row per batch, measure and selector; `best` is the fastest of its batch."""
    bases = study.run.bases_beside(trace)
    if len(bases) < 2:
        return pl.DataFrame()
    tables = []
    for basis in bases:
        there = replace(study, run=study.run.under(basis))
        columns = there.columns(trace, study.drawn)
        answers = there.run.answers(trace)
        chosen = list(columns.values())
        if not chosen or answers.settings["tokens_per_second"].gather(chosen).null_count():
            continue
        found = mat_estimate(answers.tokens, answers.seconds[:, chosen], answers.question)
        spread = answers.settings.select("tokens_per_second_low", "tokens_per_second_high")[chosen]
        each = pl.DataFrame(
            {
                "trace": trace,
                "costs": basis[0],
                "batch": basis[1],
                "measure": EACH,
                "selector": list(columns),
                "queries": found.queries,
                "value": found.value,
                "low": found.low,
                "high": found.high,
            }
        ).with_columns(
            costs_low=spread["tokens_per_second_low"],
            costs_high=spread["tokens_per_second_high"],
            best=pl.col("value") == pl.col("value").max(),
        )
        tables += [
            each,
            each.with_columns(
                pl.col("value", "low", "high", "costs_low", "costs_high") * basis[1],
                measure=pl.lit(ALL),
            ),
        ]
    return pl.concat(tables) if tables else pl.DataFrame()


def _panel(rows: pl.DataFrame, measure: str, title: str) -> Panel:
    rows = rows.sort("batch", maintain_order=True)
    batches = rows["batch"].unique().sort().to_list()
    return Panel(
        "points",
        rows.select(name="selector", x="batch", y="value", low="low", high="high"),
        BATCH,
        measure.replace(": ", ":\n"),
        title,
        "log2",
        [(batch, str(batch)) for batch in batches],
        y_range=(0, None),
    )
