"""Who drafts: the part of its rounds that a learner gives to each drafter, or arm."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.figures.style import Drawing, Panel, arm_label
from hedgespec.analysis.study import Study

HEADING = "Who drafts?"
NEEDS = "a selector among those drawn that drafts"


def draw(study: Study) -> Iterator[Drawing]:
    """A heat map per trace: selectors, and of each drafter its part of the rounds."""
    for trace in study.traces:
        shares = study.run.arm_rounds(trace)
        table = shares.filter(pl.col("selector").is_in(study.drawn)).with_columns(
            share_percent=100 * pl.col("rounds") / pl.col("rounds").sum().over("selector")
        )
        if table.is_empty():
            continue
        labels = {arm: arm_label(arm) for arm in table["arm"].unique()}
        rows = table.select(
            pl.col("selector").alias("name"),
            pl.col("share_percent").alias("y"),
            column=pl.col("arm").replace_strict(labels),
            group=pl.lit(0),
            framed=pl.lit(value=False),
        )
        yield Drawing(
            f"shares-{trace}",
            f"Part of the rounds that each drafter drafts: {trace}",
            "Percent of all rounds of the trace, expected where exact, else means over seeds. "
            f"{study.against_words(trace)}",
            [Panel("heat", rows, title=f"% of rounds, {study.sized(trace)}", digits=0, wide=True)],
            table,
            trace,
        )
