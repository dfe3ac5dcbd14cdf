"""MAT and tokens per second of one run minus those of another."""

from collections.abc import Iterator

import polars as pl
from matplotlib.figure import Figure

from hedgespec.analysis.comparison import Comparison
from hedgespec.analysis.figures.style import (
    FRAME,
    ROW,
    Drawing,
    finish,
    forest,
    looks,
    panels,
)
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL

DRAWN = {"MAT": "", "tokens/s": "-speed"}  # metrics, and what is added to the figure's name


def draw(study: Study, comparison: Comparison, name: str) -> Iterator[Drawing]:
    """For either metric a panel per trace that both runs have, with the learners chosen."""
    for metric, suffix in DRAWN.items():
        chosen = comparison.table.filter(pl.col("metric") == metric, pl.col("usual"),
                                         pl.col("selector").is_in(study.drawn))
        tables = [rows.sort("difference", descending=True, maintain_order=True)
                  for trace in study.traces
                  if not (rows := chosen.filter(pl.col("trace") == trace)).is_empty()]
        if tables:
            yield Drawing(
                f"{name}{suffix}",
                f"{metric} of {comparison.other.folder} minus that of {comparison.base.folder}",
                f"Bars: {LEVEL:.0%} paired bootstrap intervals over questions. ▲ ▼: differs at 5% "
                f"after Holm's correction for all {len(comparison.table)} differences between the "
                "runs, of all settings and metrics.",
                _figure(study, tables, metric), pl.concat(tables))


def _figure(study: Study, tables: list[pl.DataFrame], metric: str) -> Figure:
    figure, axes = panels([table["trace"][0] for table in tables],
                          FRAME + ROW * max(len(table) for table in tables))
    for axis, table in zip(axes, tables, strict=True):
        forest(axis, table, looks(study.drawn))
        axis.set_xlabel(f"{metric} minus that of the other run")
    return finish(figure)
